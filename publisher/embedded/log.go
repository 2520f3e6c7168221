package embedded

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// readyStep is how long one look at the server's readiness may take.
const readyStep = 100 * time.Millisecond

// serverLog hands the server's log to slog. What the server calls fatal is an
// error to us: it ends a start, never the process.
type serverLog struct {
	log   *slog.Logger
	fatal chan string
}

func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(line(format, v)) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}
func (l *serverLog) Errorf(format string, v ...any)  { l.log.Error(line(format, v)) }

func (l *serverLog) Warnf(format string, v ...any) {
	// The only password is random and valid inside this process alone.
	if strings.HasPrefix(format, "Plaintext passwords detected") {
		return
	}
	l.log.Warn(line(format, v))
}

func (l *serverLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default: // the first reason is the one to report
	}
}

func line(format string, v []any) string {
	return "nats-server: " + strings.TrimSpace(fmt.Sprintf(format, v...))
}
