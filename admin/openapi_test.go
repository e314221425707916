package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"gopkg.in/yaml.v3"
)

// schema is as much of a schema as openapi.yaml uses.
type schema struct {
	Ref                  string `yaml:"$ref"`
	Type                 string
	Format               string
	Enum                 []string
	Required             []string
	Properties           map[string]*schema
	AdditionalProperties any `yaml:"additionalProperties"`
	Items                *schema
}

type openapiFile struct {
	Paths      map[string]map[string]any
	Components struct{ Schemas map[string]*schema }
}

func readOpenAPI(t *testing.T) *openapiFile {
	t.Helper()
	var f openapiFile
	if err := yaml.Unmarshal(openapi, &f); err != nil {
		t.Fatal(err)
	}
	return &f
}

// schemaOf is the schema of a path's answer to GET.
func (f *openapiFile) schemaOf(t *testing.T, path string) *schema {
	t.Helper()
	b, _ := yaml.Marshal(f.Paths[path]["get"])
	var op struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema *schema }
		}
	}
	if err := yaml.Unmarshal(b, &op); err != nil {
		t.Fatal(err)
	}
	return op.Responses["200"].Content["application/json"].Schema
}

// faults are the ways in which v is not what the schema says.
func (f *openapiFile) faults(at string, s *schema, v any) (all []string) {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		s = f.Components.Schemas[name]
	}
	wrong := func(format string, args ...any) { all = append(all, at+": "+fmt.Sprintf(format, args...)) }
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			wrong("an object; want %s", s.Type)
		}
		for _, key := range s.Required {
			if _, ok := v[key]; !ok {
				wrong("%s is missing", key)
			}
		}
		for key, one := range v {
			if p := s.Properties[key]; p != nil {
				all = append(all, f.faults(at+"."+key, p, one)...)
			} else if more, ok := s.AdditionalProperties.(map[string]any); ok {
				b, _ := yaml.Marshal(more)
				p := new(schema)
				yaml.Unmarshal(b, p) //nolint:errcheck // it was just read
				all = append(all, f.faults(at+"."+key, p, one)...)
			} else {
				wrong("%s is unknown", key)
			}
		}
	case []any:
		if s.Type != "array" {
			wrong("an array; want %s", s.Type)
			break
		}
		for i, one := range v {
			all = append(all, f.faults(fmt.Sprintf("%s[%d]", at, i), s.Items, one)...)
		}
	case string:
		_, err := time.Parse(time.RFC3339Nano, v)
		if s.Type != "string" || s.Format == "date-time" && err != nil || s.Enum != nil && !slices.Contains(s.Enum, v) {
			wrong("%q; want %s %s %q", v, s.Type, s.Format, s.Enum)
		}
	case float64:
		if s.Type != "number" && (s.Type != "integer" || v != float64(int64(v))) {
			wrong("%v; want %s", v, s.Type)
		}
	case bool:
		if s.Type != "boolean" {
			wrong("%v; want %s", v, s.Type)
		}
	default:
		wrong("%v", v)
	}
	return all
}

func TestTheDescriptionHasEveryRouteAndNoOther(t *testing.T) {
	w := newTestWorld(t, Options{})
	var got, want []string
	err := chi.Walk(w.all.(chi.Router), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if path, ok := strings.CutPrefix(route, "/api/v1"); ok {
			for _, one := range conditionPaths(path) {
				got = append(got, method+" "+one)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range readOpenAPI(t).Paths {
		for method := range item {
			if method != "parameters" {
				want = append(want, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("routes %q\ndescription %q", got, want)
	}
}

// conditionPaths spells out the one route that stands for three.
func conditionPaths(path string) []string {
	before, found := strings.CutSuffix(path, "{condition:drain|maint|ready}")
	if !found {
		return []string{path}
	}
	var all []string
	for c := range maps.Keys(conditions) {
		all = append(all, before+c)
	}
	return all
}

func TestAnswersAreAsDescribed(t *testing.T) {
	w := newTestWorld(t, Options{}).cluster()
	w.world.Log.Info("role changed", "member", "a", "db", "neo4j", "from", "follower", "to", "leader")
	f := readOpenAPI(t)
	asked := 0
	for path, item := range f.Paths {
		if item["get"] == nil || path == "/openapi.yaml" {
			continue
		}
		got := w.do(http.MethodGet, "/api/v1"+strings.NewReplacer("{name}", "a", "{id}", "boltgate-1").Replace(path), "")
		var v any
		if err := json.Unmarshal(got.Body.Bytes(), &v); err != nil || got.Code != http.StatusOK {
			t.Errorf("%s: %d, %v", path, got.Code, err)
			continue
		}
		asked++
		if list, ok := v.([]any); ok && len(list) == 0 {
			t.Errorf("%s: an empty list shows nothing", path)
		}
		for _, fault := range f.faults(path, f.schemaOf(t, path), v) {
			t.Error(fault)
		}
	}
	if asked < 5 {
		t.Errorf("only %d paths were asked", asked)
	}
	problem := f.Components.Schemas["Problem"]
	for _, path := range []string{"/api/v1/members/nobody", "/api/v1/nothing", "/api/v1/events?since=x"} {
		got := w.do(http.MethodGet, path, "")
		if faults := f.faults(path, problem, decode[any](t, got.Body)); got.Code < 400 || faults != nil {
			t.Errorf("%d, %q", got.Code, faults)
		}
	}
}
