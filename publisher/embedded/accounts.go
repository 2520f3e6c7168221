package embedded

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	serviceAccount = "RESTWATCH"
	readersAccount = "READERS"
)

// inbox is where subscribers get answers, and what push consumers deliver.
// The service's own inboxes are elsewhere, see InProcess.
const inbox = "_INBOX.>"

// accounts keeps readers apart from the service. Permissions alone would not
// do: who sends a request chooses where its answer goes, the server does not
// check that, and the answer to a reader's request would be stored as a
// snapshot if he named the service's subject. Across accounts an answer only
// goes back to the account that asked.
//
// A reader of another account sees what is exported to it: the public subjects,
// what consumers deliver, and the requests of Permissions.
func accounts(stream, prefix string) (service, readers *server.Account, err error) {
	service, readers = server.NewAccount(serviceAccount), server.NewAccount(readersAccount)
	for _, subject := range []string{prefix + ".>", inbox} {
		if err := service.AddStreamExport(subject, nil); err != nil {
			return nil, nil, fmt.Errorf("export %q: %w", subject, err)
		}
		if err := readers.AddStreamImport(service, subject, ""); err != nil {
			return nil, nil, fmt.Errorf("import %q: %w", subject, err)
		}
	}
	for _, subject := range Permissions(stream, prefix).Publish.Allow {
		kind := server.Singleton
		if manyAnswers(subject) {
			kind = server.Streamed
		}
		if err := service.AddServiceExportWithResponse(subject, kind, nil); err != nil {
			return nil, nil, fmt.Errorf("export %q: %w", subject, err)
		}
		if err := readers.AddServiceImport(service, subject, subject); err != nil {
			return nil, nil, fmt.Errorf("import %q: %w", subject, err)
		}
	}
	return service, readers, nil
}

// manyAnswers tells the requests that more than one message answers.
func manyAnswers(subject string) bool {
	return strings.HasPrefix(subject, "$SRV.") || strings.HasPrefix(subject, "$JS.API.DIRECT.GET.") ||
		strings.HasPrefix(subject, "$JS.API.CONSUMER.MSG.NEXT.")
}
