package config

import (
	"reflect"
	"strings"
)

// Setting is one variable, as the help and the docs describe it.
type Setting struct {
	Name    string // RESTWATCH_…
	Default string // "" if it has none
	Form    string // what is accepted
	Help    string

	name  string // without the prefix
	field string
	index int
}

// Settings lists all variables, in the order of Config.
func Settings() []Setting {
	t := reflect.TypeFor[Config]()
	list := make([]Setting, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("env")
		list = append(list, Setting{
			Name: Prefix + name, Default: f.Tag.Get("envDefault"), Form: f.Tag.Get("form"), Help: f.Tag.Get("help"),
			name: name, field: f.Name, index: i,
		})
	}
	return list
}

// settingOf finds a setting by its name without the prefix; zero if there is
// none.
func settingOf(name string) Setting {
	for _, s := range Settings() {
		if s.name == name {
			return s
		}
	}
	return Setting{}
}

func settingOfField(field string) Setting {
	for _, s := range Settings() {
		if s.field == field {
			return s
		}
	}
	return Setting{}
}

// nearest is the setting whose name takes the fewest changes to get to, "" if
// that would be another word rather than a slip.
func nearest(name string) string {
	best, least := "", len(name)/3
	for _, s := range Settings() {
		if d := distance(strings.ToUpper(name), s.name); d <= least {
			best, least = s.name, d-1
		}
	}
	return best
}

// distance is the number of characters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
