package config

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // CRON_TZ must work where the system has no time zones, as in a bare container

	"github.com/robfig/cron/v3"
)

// Secret prints as "redacted" however it is printed. string(s) is the secret.
type Secret string

// Format writes "redacted" for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		_, _ = io.WriteString(f, "redacted")
	}
}

// LogValue is "redacted".
func (s Secret) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText is "redacted".
func (s Secret) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(s)), nil }

// URL of CC-CMS; nil inside if not set.
type URL struct{ *url.URL }

// UnmarshalText accepts http and https URLs with a host and nothing that
// could be a secret.
func (u *URL) UnmarshalText(b []byte) error {
	parsed, err := url.Parse(string(b))
	switch {
	case err != nil || parsed.Hostname() == "" || parsed.Scheme != "https" && parsed.Scheme != "http":
		return badForm("want https://host:port")
	case parsed.User != nil:
		return badForm("want https://host:port without a user: the keys are %sCMS_ACCESS_KEY and %sCMS_SECRET_KEY", Prefix, Prefix)
	case parsed.RawQuery != "" || parsed.Fragment != "":
		return badForm("want https://host:port without a query")
	case strings.ContainsFunc(parsed.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return badForm("host %q: want ASCII (a name in its xn-- form)", parsed.Host)
	case strings.Contains(parsed.Host, "%"):
		return badForm("host %q: want an address without a zone, which is not sent and so cannot be signed", parsed.Host)
	}
	if !portExists(parsed) {
		return badForm("port %q: want 1..65535", parsed.Port())
	}
	u.URL = parsed
	return nil
}

// portExists reports whether the URL has a port from 1 on, or leaves it out.
func portExists(u *url.URL) bool {
	n, err := strconv.Atoi(u.Port())
	return u.Port() == "" || err == nil && n >= 1 && n <= 65535
}

func (u URL) String() string {
	if u.URL == nil {
		return ""
	}
	return u.URL.String()
}

// VDN is one virtual call centre, ccId 1..65535 and vdn 1..5000.
type VDN struct{ CC, ID int }

func (v VDN) String() string { return strconv.Itoa(v.CC) + ":" + strconv.Itoa(v.ID) }

// MarshalText writes ccId:vdn.
func (v VDN) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// VDNs is a list without duplicates, in order.
type VDNs []VDN

// UnmarshalText accepts ccId:vdn and ccId:first-last, separated by commas.
func (v *VDNs) UnmarshalText(b []byte) error {
	var list VDNs
	for part := range strings.SplitSeq(string(b), ",") {
		part = strings.TrimSpace(part)
		from, to, err := parseRange(part)
		if err != nil {
			return err
		}
		for id := from.ID; id <= to; id++ {
			list = append(list, VDN{from.CC, id})
		}
	}
	slices.SortFunc(list, func(a, b VDN) int { return cmp.Or(cmp.Compare(a.CC, b.CC), cmp.Compare(a.ID, b.ID)) })
	for i := 1; i < len(list); i++ {
		if list[i] == list[i-1] {
			return badForm("%s: listed twice", list[i])
		}
	}
	*v = list
	return nil
}

func (v VDNs) has(x VDN) bool { return slices.Contains(v, x) }

// parseRange reads 1:170 or 1:200-204; to is the last vdn.
func parseRange(s string) (from VDN, to int, err error) {
	cc, ids, ok := strings.Cut(s, ":")
	first, last, isRange := strings.Cut(ids, "-")
	if !isRange {
		last = first
	}
	var errs [3]error
	from.CC, errs[0] = number(cc)
	from.ID, errs[1] = number(first)
	to, errs[2] = number(last)
	switch {
	case !ok || cmp.Or(errs[0], errs[1], errs[2]) != nil:
		return from, to, badForm("%q: want ccId:vdn or ccId:first-last, as in 1:170,1:200-204", s)
	case from.CC < 1 || from.CC > 65535:
		return from, to, badForm("%q: want a ccId of 1..65535", s)
	case from.ID < 1 || to > 5000:
		return from, to, badForm("%q: want a vdn of 1..5000", s)
	case to < from.ID:
		return from, to, badForm("%q: want the smaller number first", s)
	}
	return from, to, nil
}

// number reads digits; Atoi would take signs as well.
func number(s string) (int, error) {
	if strings.Trim(s, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.Atoi(s)
}

// Schedule is when a VDN is polled: exactly one of Every and Cron is set.
type Schedule struct {
	Spec  string
	Every time.Duration
	Cron  cron.Schedule
}

func (s Schedule) String() string { return s.Spec }

const shortest = 100 * time.Millisecond

var parser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// UnmarshalText accepts "@every" with a duration, and whatever robfig/cron
// does: five or six fields, descriptors, CRON_TZ=.
func (s *Schedule) UnmarshalText(b []byte) error {
	spec := strings.TrimSpace(string(b))
	if text, ok := strings.CutPrefix(spec, "@every "); ok {
		every, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil || every < shortest || every > 24*time.Hour {
			return badForm("%q: want @every with a duration of 100ms..24h, as in @every 5s", spec)
		}
		*s = Schedule{Spec: "@every " + every.String(), Every: every}
		return nil
	}
	parsed, err := parse(spec)
	if err != nil {
		return badForm("%q: want @every 5s or a cron expression such as */10 * 8-20 * * *: %v", spec, err)
	}
	if parsed.Next(time.Now()).IsZero() {
		return badForm("%q: no time matches it within five years", spec)
	}
	*s = Schedule{Spec: spec, Cron: parsed}
	return nil
}

// parse refuses what the parser takes and gets wrong: an interval behind a time
// zone, which it rounds to whole seconds; a zone without a name; a field of
// commas alone, which matches nothing, and to find that out takes seconds. It
// keeps a panic of the parser, which some malformed zones provoke, from ending
// the process.
func parse(spec string) (s cron.Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not understood")
		}
	}()
	if zone, fields, ok := strings.Cut(spec, " "); ok && strings.Contains(zone, "TZ=") {
		if strings.HasSuffix(zone, "=") {
			return nil, fmt.Errorf("the time zone has no name")
		}
		if strings.HasPrefix(strings.TrimSpace(fields), "@every") {
			return nil, fmt.Errorf("an interval has no time zone")
		}
	}
	s, err = parser.Parse(spec)
	if err != nil {
		return nil, err
	}
	if fields, ok := s.(*cron.SpecSchedule); ok {
		const star = 1 << 63 // how the parser marks a *
		for _, bits := range []uint64{fields.Second, fields.Minute, fields.Hour, fields.Dom, fields.Month, fields.Dow} {
			if bits&^star == 0 {
				return nil, fmt.Errorf("a field names no time")
			}
		}
	}
	return s, nil
}

// VDNSchedules are the VDNs that have a schedule of their own.
type VDNSchedules map[VDN]Schedule

// UnmarshalText accepts vdn=schedule terms, separated by semicolons.
func (m *VDNSchedules) UnmarshalText(b []byte) error {
	schedules := VDNSchedules{}
	for term := range strings.SplitSeq(string(b), ";") {
		term = strings.TrimSpace(term)
		if term == "" {
			continue
		}
		who, when, ok := strings.Cut(term, "=")
		if !ok {
			return badForm("%q: want ccId:vdn=schedule, as in 1:170=@every 30s", term)
		}
		from, to, err := parseRange(strings.TrimSpace(who))
		if err != nil {
			return err
		}
		var s Schedule
		if err := s.UnmarshalText([]byte(when)); err != nil {
			return badForm("%s: %v", who, err)
		}
		for id := from.ID; id <= to; id++ {
			vdn := VDN{from.CC, id}
			if _, twice := schedules[vdn]; twice {
				return badForm("%s: has two schedules", vdn)
			}
			schedules[vdn] = s
		}
	}
	*m = schedules
	return nil
}

// Address is host:port.
type Address string

// UnmarshalText wants a port.
func (a *Address) UnmarshalText(b []byte) error {
	_, port, err := net.SplitHostPort(string(b))
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		return badForm("%q: want host:port", b)
	}
	*a = Address(b)
	return nil
}

// HTTPAddress is host:port, or empty for none.
type HTTPAddress string

// UnmarshalText accepts "none" for no HTTP.
func (a *HTTPAddress) UnmarshalText(b []byte) error {
	if string(b) == "none" {
		*a = ""
		return nil
	}
	var address Address
	if err := address.UnmarshalText(b); err != nil {
		return badForm("%q: want host:port or none", b)
	}
	*a = HTTPAddress(address)
	return nil
}
