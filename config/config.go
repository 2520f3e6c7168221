// Package config reads the service's settings from the environment.
//
// All faults are found at once and named by their variable, with the form that
// is accepted. No secret is ever part of an error or of what a Config prints.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Prefix of every variable.
const Prefix = "RESTWATCH_"

// Config is the environment, checked. The tags say each setting's name, its
// default, the accepted form and its meaning; Settings lists them.
type Config struct {
	// Where CC-CMS is. Wrong, every call fails, by network or with a 404.
	CMSURL URL `env:"CMS_URL" form:"https://host:port" help:"CC-CMS, or the load balancer (NSLB) in front; a path overrides the interface's own. http:// is accepted where TLS ends before us, with a warning at every start"`
	// The key pair of the interface account. Wrong, the upstream answers 401, and
	// after a few calls locks our address.
	CMSAccessKey     string `env:"CMS_ACCESS_KEY" form:"text" help:"access key (AK) of the CC-CMS interface account"`
	CMSSecretKey     Secret `env:"CMS_SECRET_KEY" form:"text" help:"its secret key (SK)"`
	CMSSecretKeyFile string `env:"CMS_SECRET_KEY_FILE" form:"path" help:"file that holds the secret key alone; instead of CMS_SECRET_KEY"`
	// TLS towards CC-CMS. Wrong, calls fail with the network category.
	CMSCAFile     string `env:"CMS_CA_FILE" form:"path" help:"PEM file of the authorities to trust for CC-CMS; the system's if not set"`
	CMSServerName string `env:"CMS_SERVER_NAME" form:"host name" help:"name in CC-CMS's certificate, where it differs from the URL's"`
	// Set, anybody in between can read and forge replies.
	CMSInsecure bool `env:"CMS_INSECURE_SKIP_VERIFY" envDefault:"false" form:"true or false" help:"do not verify CC-CMS's certificate; for laboratories, with a warning at every start"`
	// Set wrongly to 3.8 on a 3.6, lists are cut off and so inconsistent.
	CMSCTI string `env:"CMS_CTI" envDefault:"auto" form:"auto, 3.6 or 3.8" help:"CTI generation behind CC-CMS: 3.6 pages, 3.8 does not; auto finds out"`
	// Smaller pages make more calls for a reading, and more chances that the list moves meanwhile.
	CMSPageSize int `env:"CMS_PAGE_SIZE" envDefault:"100" form:"1..100" help:"agents a page, on CTI 3.6"`
	// Longer than the tick's 10 s, another replica takes the poll for dead.
	CMSTimeout time.Duration `env:"CMS_TIMEOUT" envDefault:"5s" form:"100ms..9s" help:"longest time of one call, to the last byte of the reply"`
	// Too few delay polls, too many are a burst that the upstream may refuse.
	CMSMaxInFlight int     `env:"CMS_MAX_IN_FLIGHT" envDefault:"32" form:"1..1024" help:"calls at once, per replica"`
	CMSRate        float64 `env:"CMS_RATE" envDefault:"0" form:"0 or more" help:"calls per second, per replica; 0 is no limit"`
	// Wrong, every begin time is unknown and no rest is ever overdue.
	CMSBeginTime string `env:"CMS_BEGIN_TIME" envDefault:"auto" form:"auto, ms or s" help:"unit of beginTime in replies"`

	// What is polled. A VDN that is taken away is no longer polled; its events stay.
	VDNs VDNs `env:"VDNS" form:"1:170,1:200-204,2:7" help:"VDNs to poll, as ccId:vdn or a range of them"`
	// How often. Longer intervals see fewer stages and are certain less often.
	Schedule     Schedule     `env:"SCHEDULE" envDefault:"@every 5s" form:"cron expression or @every 5s" help:"when to poll; a cron expression may have a seconds field and CRON_TZ=, an interval may be down to 100ms"`
	VDNSchedules VDNSchedules `env:"VDN_SCHEDULES" form:"1:170=*/10 * 8-20 * * *;1:7=@every 30s" help:"other schedules for some of the VDNs"`
	// More groups, more ticks: each costs about as much as an unchanged poll.
	GroupsPerSchedule int `env:"GROUPS" envDefault:"64" form:"1..1024" help:"most groups that the VDNs of one schedule are polled in"`
	// Assumptions of the inference. Wrong, an event may be called certain that is not.
	DiffGapLimit time.Duration `env:"DIFF_GAP_LIMIT" envDefault:"10s" form:"duration above 0" help:"shortest gap between two polls into which a whole rest may fit, unseen"`
	DiffSlack    time.Duration `env:"DIFF_SLACK" envDefault:"300ms" form:"duration above 0" help:"by how much the age of a reply may vary"`

	// NATS. Without a URL an embedded server runs in this process.
	NATSURL          string  `env:"NATS_URL" form:"nats://host:port,…" help:"NATS servers; an embedded one if not set"`
	NATSCredsFile    string  `env:"NATS_CREDS_FILE" form:"path" help:"credentials file for NATS"`
	NATSNKeyFile     string  `env:"NATS_NKEY_FILE" form:"path" help:"NKey seed file for NATS"`
	NATSUser         string  `env:"NATS_USER" form:"text" help:"user for NATS"`
	NATSPassword     Secret  `env:"NATS_PASSWORD" form:"text" help:"its password"`
	NATSPasswordFile string  `env:"NATS_PASSWORD_FILE" form:"path" help:"file that holds the password alone; instead of NATS_PASSWORD"`
	NATSCAFile       string  `env:"NATS_CA_FILE" form:"path" help:"PEM file of the authorities to trust for NATS"`
	NATSCertFile     string  `env:"NATS_CERT_FILE" form:"path" help:"client certificate for NATS"`
	NATSKeyFile      string  `env:"NATS_KEY_FILE" form:"path" help:"its key"`
	NATSListen       Address `env:"NATS_LISTEN" envDefault:"127.0.0.1:4222" form:"host:port" help:"where subscribers reach the embedded server"`
	// Losing the folder loses all stored events and the state of the inference.
	StoreDir string `env:"STORE_DIR" envDefault:"./data" form:"path" help:"folder of the embedded server's streams"`
	Stream   string `env:"STREAM" envDefault:"REST" form:"letters, digits, - and _" help:"name of the stream"`
	// Another prefix is another set of subjects: subscribers must follow.
	SubjectPrefix string        `env:"SUBJECT_PREFIX" envDefault:"rest.v1" form:"subject without wildcards" help:"begin of every subject"`
	Replicas      int           `env:"REPLICAS" envDefault:"1" form:"1..5" help:"copies of the streams in a NATS cluster"`
	Retention     time.Duration `env:"RETENTION" envDefault:"2160h" form:"1h or more, as in 2160h" help:"how long events are kept; the last snapshots are kept for ever"`

	Heartbeat time.Duration `env:"HEARTBEAT" envDefault:"30s" form:"1s..1h" help:"how often a feed's status is repeated"`
	HTTPAddr  HTTPAddress   `env:"HTTP_ADDR" envDefault:"127.0.0.1:8080" form:"host:port or none" help:"pages, health and metrics; none turns them off"`
	LogLevel  slog.Level    `env:"LOG_LEVEL" envDefault:"info" form:"debug, info, warn or error" help:"least level that is logged"`
	LogFormat string        `env:"LOG_FORMAT" envDefault:"text" form:"text or json" help:"form of the log"`
}

// Load reads the settings from lines of the form KEY=value, as os.Environ
// gives them. The error has one line for each bad variable.
func Load(environ []string) (Config, error) {
	var c Config
	var faults faults
	values := env.ToMap(environ)
	faults.parsing(env.ParseWithOptions(&c, env.Options{Prefix: Prefix, Environment: values}), values)
	faults.unknown(values)
	c.check(&faults)
	return c, faults.err()
}

// Bus returns the settings that a command needs to read the bus: with a URL,
// how to get there, else where the embedded server listens. Other settings
// need not be set, and are not checked.
func Bus(environ []string) (Config, error) {
	var c Config
	var faults faults
	bus := map[string]string{}
	for k, v := range env.ToMap(environ) {
		switch name, ok := strings.CutPrefix(k, Prefix); {
		case ok && (strings.HasPrefix(name, "NATS_") || name == "STREAM" || name == "SUBJECT_PREFIX"):
			bus[k] = v
		}
	}
	faults.parsing(env.ParseWithOptions(&c, env.Options{Prefix: Prefix, Environment: bus}), bus)
	c.checkNATS(&faults)
	return c, faults.err()
}

// faults are the bad variables found so far, a line each.
type faults struct{ lines []string }

func (f *faults) add(name, format string, args ...any) {
	line := Prefix + name + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(f.lines, line) {
		f.lines = append(f.lines, line)
	}
}

// has reports whether a variable was found bad already.
func (f *faults) has(name string) bool {
	return slices.ContainsFunc(f.lines, func(l string) bool { return strings.HasPrefix(l, Prefix+name+":") })
}

// want adds the fault of a value that is not of the accepted form.
func (f *faults) want(ok bool, name string, value any) {
	if !ok && !f.has(name) {
		f.add(name, "%q: want %s", fmt.Sprint(value), settingOf(name).Form)
	}
}

// parsing takes over the faults that the env package found.
func (f *faults) parsing(err error, values map[string]string) {
	var all env.AggregateError
	if err == nil {
		return
	}
	if !errors.As(err, &all) {
		all.Errors = []error{err}
	}
	for _, e := range all.Errors {
		var p env.ParseError
		if !errors.As(e, &p) {
			f.lines = append(f.lines, e.Error())
			continue
		}
		s := settingOfField(p.Name)
		if form := (formError{}); errors.As(p.Err, &form) {
			f.add(s.name, "%s", form)
			continue
		}
		// No secret fails here: every text is one.
		f.add(s.name, "%q: want %s", values[s.Name], s.Form)
	}
}

// unknown adds variables with our prefix that mean nothing: a misspelt name
// would otherwise go unnoticed, and its default be used. The price is that an
// older version refuses the settings of a newer one, by name; ignoring them
// would be worse.
func (f *faults) unknown(values map[string]string) {
	var names []string
	for k := range values {
		name, ours := strings.CutPrefix(k, Prefix)
		if ours && !foreign(name, values[k]) && settingOf(name).Name == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if near := nearest(name); near != "" {
			f.add(name, "no such setting; did you mean %s%s?", Prefix, near)
		} else {
			f.add(name, "no such setting")
		}
	}
}

// kubernetes matches what Kubernetes puts into the environment of every pod for a
// service that is called restwatch or restwatch-something.
var kubernetes = regexp.MustCompile(`^(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// foreign reports whether a variable with our prefix is meant for somebody else:
// the simulator, or nobody, as it comes from Kubernetes.
func foreign(name, value string) bool {
	return strings.HasPrefix(name, "SIM_") || kubernetes.MatchString(name) ||
		(name == "PORT" || strings.HasSuffix(name, "_PORT")) && strings.Contains(value, "://")
}

func (f *faults) err() error {
	if len(f.lines) == 0 {
		return nil
	}
	return errors.New(strings.Join(f.lines, "\n"))
}

// formError is a fault in its own words, which hold no secret.
type formError struct{ text string }

func (e formError) Error() string { return e.text }

func badForm(format string, args ...any) error { return formError{fmt.Sprintf(format, args...)} }

// secretFrom reads a secret that may be given as it is or in a file.
func secretFrom(f *faults, value Secret, name, path string) Secret {
	if path == "" {
		return value
	}
	if value != "" {
		f.add(name, "set together with %s%s_FILE: want one of them", Prefix, name)
		return ""
	}
	secret, err := ReadSecret(path)
	if err != nil {
		f.add(name+"_FILE", "%v", err)
	}
	return secret
}

// ReadSecret reads a file that holds a secret and nothing else but a line end.
func ReadSecret(path string) (Secret, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case text == "":
		return "", fmt.Errorf("%q is empty: want the secret alone in it", path)
	case strings.ContainsAny(text, "\r\n"):
		return "", fmt.Errorf("%q has several lines: want the secret alone in it", path)
	}
	return Secret(text), nil
}

// LogValue lists what is set otherwise than by default, without secrets.
func (c Config) LogValue() slog.Value {
	var defaults Config
	// Cannot fail: a test loads the defaults.
	_ = env.ParseWithOptions(&defaults, env.Options{Prefix: Prefix, Environment: map[string]string{}})
	var attrs []slog.Attr
	v, byDefault := reflect.ValueOf(c), reflect.ValueOf(defaults)
	for _, s := range Settings() {
		if value := fmt.Sprint(v.Field(s.index)); value != fmt.Sprint(byDefault.Field(s.index)) {
			attrs = append(attrs, slog.String(strings.ToLower(s.name), value))
		}
	}
	return slog.GroupValue(attrs...)
}
