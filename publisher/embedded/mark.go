package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// mark is the number of the newest snapshot that the stream is known to have
// held, kept in a file beside the server's own. The server takes what it finds
// in damaged or older files for all there is; the service would then go on from
// an old snapshot, or none, and give numbers of events out again. Snapshots are
// what is told by, as one goes only when a newer one comes.
type mark struct {
	path, dir       string
	stream, subject string
	log             *slog.Logger
	nc              *nats.Conn
	seen, written   uint64
	stop, stopped   chan struct{}
}

const (
	// markEvery is how often the mark is brought up to date.
	markEvery    = 2 * time.Second
	answerWithin = 5 * time.Second
)

// newMark checks the stored streams against the mark, and keeps it up to date
// until end.
func (s *Server) newMark(stream, prefix string, log *slog.Logger) (*mark, error) {
	nc, err := nats.Connect("", s.InProcess())
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	m := &mark{path: filepath.Join(s.dir, "restwatch-"+stream+".last"), dir: s.dir, stream: stream, subject: prefix + ".snapshot.>", log: log, nc: nc}
	if err := m.check(); err != nil {
		nc.Close()
		return nil, err
	}
	m.follow()
	return m, nil
}

// check fails if the newest snapshot is older than the mark. A mark that cannot
// be read says nothing: it is not synced to disk.
func (m *mark) check() error {
	b, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		m.written, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	}
	if err != nil {
		m.log.Warn("cannot tell whether the store is whole", "error", err)
		return nil
	}
	m.seen = m.written
	last, err := m.newest()
	if err == nil && last < m.written {
		err = fmt.Errorf("store folder %q: the newest snapshot of stream %q is message %d, but there was message %d: its files are damaged or older; "+
			"put a backup back, or remove %q to go on without what is missing", m.dir, m.stream, last, m.written, m.path)
	}
	return err
}

// newest is the number of the newest snapshot, 0 if there is none.
func (m *mark) newest() (uint64, error) {
	ask := fmt.Sprintf(`{"last_by_subj":%q}`, m.subject)
	answer, err := m.nc.Request("$JS.API.STREAM.MSG.GET."+m.stream, []byte(ask), answerWithin)
	if err != nil {
		return 0, fmt.Errorf("look for the newest snapshot in stream %q: %w", m.stream, err)
	}
	var got struct {
		Message struct {
			Seq uint64 `json:"seq"`
		} `json:"message"`
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return 0, fmt.Errorf("look for the newest snapshot in stream %q: %w", m.stream, err)
	}
	if got.Error != nil && got.Error.Code != http.StatusNotFound { // no stream, or no snapshot in it
		return 0, fmt.Errorf("look for the newest snapshot in stream %q: %s", m.stream, got.Error.Description)
	}
	return got.Message.Seq, nil
}

// follow keeps the mark up to date until end.
func (m *mark) follow() {
	m.stop, m.stopped = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(m.stopped)
		look := time.NewTicker(markEvery)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				m.note()
			case <-m.stop:
				m.note()
				m.note() // all that is there is on the disk by now
				return
			}
		}
	}()
}

// note writes what was there at the look before, so that the mark never says
// more than is on the disk.
func (m *mark) note() {
	if m.seen != m.written {
		if err := m.write(m.seen); err != nil {
			m.log.Warn("cannot note how far the store goes", "error", err)
		} else {
			m.written = m.seen
		}
	}
	if last, err := m.newest(); err == nil {
		m.seen = max(m.seen, last)
	}
}

func (m *mark) write(last uint64) error {
	if err := os.WriteFile(m.path+".new", []byte(strconv.FormatUint(last, 10)+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(m.path+".new", m.path)
}

// end stops following. More calls do nothing.
func (m *mark) end() {
	if m == nil || m.stop == nil {
		return
	}
	close(m.stop)
	<-m.stopped
	m.stop = nil
	m.nc.Close()
}
