package bolt

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/bolt/packstream"
)

func TestAuthNeverPrintsTheSecret(t *testing.T) {
	a := Basic("ann", "s3cret")
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%10v"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", a, &a, struct{ Auth Auth }{a})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("text", "auth", a, "pointer", &a)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "auth", a, "pointer", &a)
	if err := json.NewEncoder(&out).Encode(map[string]any{"auth": a}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out, a, fmt.Errorf("logging on %v", a))
	for _, secret := range []string{"s3cret", fmt.Sprintf("%x", "s3cret"), fmt.Sprintf("%d", []byte("s3cret"))} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the secret is printed:\n%s", out.String())
		}
	}
	if a.String() != "basic ann" || !strings.Contains(out.String(), "basic ann") {
		t.Errorf("got %q; want scheme and principal", a)
	}
}

// pairs is a map with its keys in the given order.
func pairs(kv ...any) []byte {
	b := packstream.AppendMap(nil, len(kv)/2)
	for _, v := range kv {
		b = packstream.AppendValue(b, v)
	}
	return b
}

func TestEqualLoginsAreEqualWhateverTheOrder(t *testing.T) {
	want := Basic("ann", "s3cret")
	for _, encoded := range [][]byte{
		pairs("scheme", "basic", "principal", "ann", "credentials", "s3cret"),
		pairs("credentials", "s3cret", "principal", "ann", "scheme", "basic"),
		pairs("user_agent", "x", "credentials", "s3cret", "routing", map[string]any{"scheme": "no"}, "principal", "ann", "scheme", "basic"),
		pairs("scheme", "none", "principal", "ann", "credentials", "s3cret", "scheme", "basic"),
	} {
		got, err := ParseAuth(encoded)
		if err != nil || got != want {
			t.Errorf("%q: got %#v, %v; want the login of Basic", encoded, got.Entries, err)
		}
	}
}

func TestDifferentLoginsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, kv := range [][]any{
		{}, {"scheme", "none"}, {"scheme", "basic", "principal", "ann", "credentials", "a"}, {"scheme", "basic", "principal", "ann", "credentials", "b"},
		{"scheme", "basic", "principal", "bob", "credentials", "a"}, {"scheme", "basic", "principal", "ann", "credentials", "a", "realm", "x"},
		{"scheme", "bearer", "credentials", "a"}, {"scheme", "custom", "principal", "ann", "credentials", "a", "parameters", map[string]any{"k": 1}},
		{"scheme", "basic", "principal", "ann", "credentials", []byte("a")}, {"principal", "scheme", "scheme", "principal"},
	} {
		a, err := ParseAuth(pairs(kv...))
		if before, ok := seen[a.Entries]; ok || err != nil {
			t.Errorf("%v: the same login as %s (%v)", kv, before, err)
		}
		seen[a.Entries] = fmt.Sprint(kv)
	}
}

func TestAuthKeepsWhatItSends(t *testing.T) {
	in := map[string]any{"scheme": "custom", "principal": "ann", "credentials": "x", "realm": "r", "parameters": map[string]any{"k": []any{int64(1)}}}
	a, err := ParseAuth(packstream.AppendValue(nil, in))
	if err != nil || a.Scheme != "custom" || a.Principal != "ann" {
		t.Fatalf("got %v, %v", a, err)
	}
	d := packstream.NewDecoder(a.appendMap(nil, nil, 0))
	if got := d.Value(); !reflect.DeepEqual(got, in) {
		t.Errorf("got %v; want %v", got, in)
	}
}

func TestParseAuthOfACutMap(t *testing.T) {
	whole := pairs("scheme", "basic", "principal", "ann", "credentials", "s3cret")
	for cut := range whole {
		if a, err := ParseAuth(whole[:cut]); !errors.Is(err, packstream.ErrShort) || a != (Auth{}) {
			t.Errorf("cut at %d: got %v, %v; want ErrShort", cut, a, err)
		}
	}
	if _, err := ParseAuth([]byte{0x81, 'a'}); !errors.Is(err, packstream.ErrMarker) {
		t.Errorf("a string in the map's place: %v; want ErrMarker", err)
	}
}
