package poller

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"restwatch/diff"
)

// metrics of the polls. VDNs are labels (there are at most a few thousand and
// an operator needs to know which), agents never.
type metrics struct {
	polls     *prometheus.CounterVec
	seconds   prometheus.Histogram
	slotsLost prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, p *Poller) *metrics {
	m := &metrics{
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "restwatch_polls_total",
			Help: "Polls by outcome: same, unchanged, changed, inconsistent, uncommitted, paused, overlap, or the category of the failure.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "restwatch_poll_duration_seconds",
			Help:    "Time of a poll from the first call to the commit.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		slotsLost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "restwatch_slots_lost_total",
			Help: "Slots that were not polled because their tick could not be offered.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.polls, m.seconds, m.slotsLost, feeds{p})
	}
	return m
}

func (m *metrics) poll(outcome string, took time.Duration) {
	m.polls.WithLabelValues(outcome).Inc()
	if took > 0 {
		m.seconds.Observe(took.Seconds())
	}
}

// feeds collects the state of all watches when it is asked for.
type feeds struct{ p *Poller }

var (
	feedStatus = prometheus.NewDesc("restwatch_feed_status",
		"1 for the status that a VDN's feed has.", []string{"cc", "vdn", "status"}, nil)
	lastGood = prometheus.NewDesc("restwatch_last_good_poll_timestamp_seconds",
		"When a VDN was last polled well, by the bus's clock; 0 if never.", []string{"cc", "vdn"}, nil)
	pausedUntil = prometheus.NewDesc("restwatch_paused_until_timestamp_seconds",
		"Until when all calls are stopped because the upstream refused the credentials; 0 if they are not.", nil, nil)
)

func (c feeds) Describe(ch chan<- *prometheus.Desc) {
	ch <- feedStatus
	ch <- lastGood
	ch <- pausedUntil
}

func (c feeds) Collect(ch chan<- prometheus.Metric) {
	for _, w := range c.p.watches {
		w.mu.Lock()
		status, good := w.feed.Status, w.feed.LastGoodPollAt
		w.mu.Unlock()
		cc, vdn := labels(w.vdn)
		if status != "" {
			ch <- prometheus.MustNewConstMetric(feedStatus, prometheus.GaugeValue, 1, cc, vdn, string(status))
		}
		ch <- prometheus.MustNewConstMetric(lastGood, prometheus.GaugeValue, float64(good)/1000, cc, vdn)
	}
	var until float64
	if t, _ := c.p.gate.paused(); !t.IsZero() {
		until = float64(t.UnixMilli()) / 1000
	}
	ch <- prometheus.MustNewConstMetric(pausedUntil, prometheus.GaugeValue, until)
}

func labels(v diff.VDN) (cc, vdn string) { return strconv.Itoa(v.CC), strconv.Itoa(v.ID) }
