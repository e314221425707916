package configs

import (
	"strings"
	"testing"
)

// A machine without its loopback address has none of these tests' answers.
func TestTemplates(t *testing.T) {
	const loopback = `GetAllInterfaces | include "flags" "loopback" | include "type" "IPv4"`
	for _, tt := range []struct{ text, want string }{
		{`{{ ` + loopback + ` | limit 1 | attr "address" }}:7687`, "127.0.0.1:7687"},
		{`{{ . | include "flags" "loopback" | include "type" "IPv4" | limit 1 | attr "address" }}`, "127.0.0.1"},
		{`{{ attr "address" (` + loopback + ` | limit 1) }}:1`, "127.0.0.1:1"},
		{`{{ ` + loopback + ` | limit 1 | join "address" " " | printf "%s:%d" }}`, "127.0.0.1:%!d(MISSING)"},
		{`{{ printf "%s:%d" "a" 7 }}`, "a:7"},
		{`{{ ` + loopback + ` | offset 0 | sort "address" | unique "address" | math "network" "+1" | limit 1 | attr "address" }}`, "127.0.0.1"},
		{`a{{ "b" }}{{/* a word */}}c`, "abc"},
	} {
		if got, err := fillTemplate(tt.text); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{`{{ if true }}x{{ end }}`, "no variables, fields or conditions"},
		{`{{ $a := GetPrivateIP }}`, "no variables, fields or conditions"},
		{`{{ .Name }}`, "no variables, fields or conditions"},
		{`{{ limit -1 . }}`, "limit: argument 1 is -1, and has to be of type uint"},
		{`{{ limit "x" . }}`, "limit: argument 1 is x"},
		{`{{ limit 1 }}`, "limit takes 2 arguments, not 1"},
		{`{{ GetPrivateIP "x" }}`, "GetPrivateIP takes 0 arguments, not 1"},
		{`{{ "x" 1 }}`, "is no function"},
		{`{{ "x" | "y" }}`, "non executable command"},
		{`{{ nil | attr "address" }}`, "nil: a template has text and functions"},
		{`{{ attr "address" nil }}`, "no variables, fields or conditions"},
		{`{{ . | include "nosuch" "x" }}`, "include: "},
		{`{{ template "x" }}`, "no variables, fields or conditions"},
		{`{{ GetPrivateIP`, "unclosed action"},
		{`{{ len . }}`, `function "len" not defined`},
	} {
		if got, err := fillTemplate(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %q, %v; want an error with %q", tt.text, got, err, tt.want)
		}
	}
}
