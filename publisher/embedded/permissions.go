package embedded

import "github.com/nats-io/nats-server/v2/server"

// Permissions are those of a reader of one stream and subject prefix: live
// messages, the stored ones through consumers and lookups, the snapshot
// service, and no way to publish, delete or reconfigure anything. The same
// list belongs into an external cluster's configuration.
func Permissions(stream, prefix string) *server.Permissions {
	publish := []string{
		"$JS.API.INFO",
		"$JS.API.STREAM.NAMES",
		"$JS.API.STREAM.LIST",
		"$JS.API.STREAM.INFO." + stream,
		"$JS.API.STREAM.MSG.GET." + stream,
		"$JS.API.DIRECT.GET." + stream,
		"$JS.API.DIRECT.GET." + stream + ".>",
		"$JS.ACK." + stream + ".>",
		"$JS.FC." + stream + ".>",
		"svc." + prefix + ".>",
		"$SRV.>",
	}
	for _, call := range []string{"CREATE", "INFO", "MSG.NEXT", "DELETE"} {
		publish = append(publish, "$JS.API.CONSUMER."+call+"."+stream+".>")
	}
	for _, call := range []string{"CREATE", "NAMES", "LIST"} {
		publish = append(publish, "$JS.API.CONSUMER."+call+"."+stream)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{prefix + ".>", "_INBOX.>"}},
	}
}
