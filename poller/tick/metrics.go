package tick

import (
	"github.com/prometheus/client_golang/prometheus"
)

// What became of an offered tick: the values of the label "result".
const (
	resultOffered   = "offered"   // stored, so this replica's offer was first
	resultDuplicate = "duplicate" // another replica was first
	resultOccupied  = "occupied"  // the group's previous tick is not done
	resultSkipped   = "skipped"   // not sent: NATS away or too slow
	resultFailed    = "failed"    // sent, and refused or never answered
)

type metrics struct {
	offers   map[string]prometheus.Counter
	worked   prometheus.Counter
	again    prometheus.Counter
	returned prometheus.Counter
	panics   prometheus.Counter
	renewed  prometheus.Counter
	running  prometheus.Gauge
	waited   prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, clock *clock) *metrics {
	offers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "restwatch_tick_offers_total",
		Help: "Ticks that this replica offered, by what became of them: offered, duplicate, occupied, skipped or failed.",
	}, []string{"result"})
	m := &metrics{
		offers: map[string]prometheus.Counter{},
		worked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "restwatch_ticks_worked_total",
			Help: "Ticks that this replica worked to the end.",
		}),
		again: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "restwatch_ticks_redelivered_total",
			Help: "Ticks given to this replica that somebody had been given before.",
		}),
		returned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "restwatch_ticks_returned_total",
			Help: "Ticks that this replica gave back for another one to work.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "restwatch_tick_panics_total",
			Help: "Ticks whose work panicked; the log has the stack.",
		}),
		renewed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "restwatch_tick_queue_renewals_total",
			Help: "Times that connection, tick stream or consumer had been lost and were taken up again.",
		}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "restwatch_ticks_running",
			Help: "Ticks that this replica is working just now.",
		}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "restwatch_tick_wait_seconds",
			Help:    "Time from a tick's being stored to its work's beginning.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15, 60},
		}),
	}
	for _, result := range []string{resultOffered, resultDuplicate, resultOccupied, resultSkipped, resultFailed} {
		m.offers[result] = offers.WithLabelValues(result)
	}
	if r != nil {
		r.MustRegister(offers, m.worked, m.again, m.returned, m.panics, m.renewed, m.running, m.waited,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "restwatch_bus_clock_round_trip_seconds",
				Help: "Round trip of the sample that the bus clock goes by; half of it bounds the clock's error.",
			}, func() float64 { return clock.roundTrip().Seconds() }))
	}
	return m
}

func (m *metrics) offer(result string) { m.offers[result].Inc() }
