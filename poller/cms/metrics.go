package cms

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a client. Without a registerer they count all the same, unseen.
type metrics struct {
	calls        *prometheus.CounterVec
	seconds      prometheus.Histogram
	inFlight     prometheus.Gauge
	bytes        prometheus.Counter
	readings     *prometheus.CounterVec
	readingCalls prometheus.Histogram
	unknownTimes prometheus.Counter

	ok prometheus.Counter // of calls, looked up once
}

// Results of a reading, the labels of readings_total beside the categories.
const (
	resultSame    = "same"
	resultChanged = "changed"
)

func newMetrics(r prometheus.Registerer, s *skew) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "restwatch_cms_calls_total",
			Help: "HTTP calls to CC-CMS by how they ended: ok or the category of the error.",
		}, []string{"category"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "restwatch_cms_call_duration_seconds",
			Help:    "Time from sending a call to CC-CMS until the last byte of its reply or its failure.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "restwatch_cms_calls_in_flight",
			Help: "HTTP calls to CC-CMS under way.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "restwatch_cms_received_bytes_total",
			Help: "Bytes of reply bodies received from CC-CMS, as they came over the wire.",
		}),
		readings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "restwatch_cms_readings_total",
			Help: "Readings of a VDN by result: same, changed, inconsistent or the category of the error.",
		}, []string{"result"}),
		readingCalls: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "restwatch_cms_reading_calls",
			Help:    "HTTP calls that a reading of a VDN took.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128},
		}),
		unknownTimes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "restwatch_cms_unknown_begin_times_total",
			Help: "Rows read whose beginTime was no usable time.",
		}),
	}
	m.ok = m.calls.WithLabelValues("ok")
	if r == nil {
		return m, nil
	}
	ahead := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "restwatch_cms_clock_skew_seconds",
		Help: "How far the clock of CC-CMS is ahead of the own one, to about a second; 0 until known.",
	}, func() float64 { return time.Duration(s.ahead.Load()).Seconds() })
	for _, c := range []prometheus.Collector{m.calls, m.seconds, m.inFlight, m.bytes, m.readings, m.readingCalls, m.unknownTimes, ahead} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) reading(r Reading, err error) {
	result := resultChanged
	switch {
	case err != nil:
		result = string(CategoryOf(err))
	case r.Torn:
		result = string(Inconsistent)
	case r.Same:
		result = resultSame
	}
	m.readings.WithLabelValues(result).Inc()
	m.readingCalls.Observe(float64(r.Calls))
	m.unknownTimes.Add(float64(r.UnknownTimes))
}
