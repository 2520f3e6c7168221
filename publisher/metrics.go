package publisher

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	registerer prometheus.Registerer
	all        []prometheus.Collector

	commits   *prometheus.CounterVec
	batches   prometheus.Histogram
	duration  prometheus.Histogram
	events    *prometheus.CounterVec
	feeds     *prometheus.CounterVec
	reloads   *prometheus.CounterVec
	snapshots prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		registerer: r,
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "restwatch_commits_total",
			Help: "Commits by outcome: committed, conflict (another came first), undecided (it is not known), failed.",
		}, []string{"outcome"}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "restwatch_commit_batch_size",
			Help:    "Commits that shared one atomic batch.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "restwatch_commit_duration_seconds",
			Help:    "Time that Commit took, with waiting and repetitions.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "restwatch_events_total",
			Help: "Agent events committed, by kind and certainty.",
		}, []string{"kind", "certainty"}),
		feeds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "restwatch_feed_publishes_total",
			Help: "Feed messages by what they were (change, heartbeat) and outcome (stored, failed).",
		}, []string{"what", "outcome"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "restwatch_head_reloads_total",
			Help: "Heads read from the stream, by reason: load (at start), stale (somebody else committed, a commit failed, or the connection was away), recheck, doubt (the outcome of a commit).",
		}, []string{"reason"}),
		snapshots: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "restwatch_snapshot_bytes",
			Help:    "Size of committed snapshots, all parts together.",
			Buckets: prometheus.ExponentialBuckets(1<<10, 2, 13),
		}),
	}
	m.all = []prometheus.Collector{m.commits, m.batches, m.duration, m.events, m.feeds, m.reloads, m.snapshots}
	if r == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, err
		}
	}
	return m, nil
}

// unregister lets another bus of the same process take the names.
func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
}
