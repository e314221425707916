package packstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func TestEncodingIsTheSpecifications(t *testing.T) {
	tests := []struct {
		name  string
		value any
		want  string // hex; the payload of long ones is left out
	}{
		{"null", nil, "c0"},
		{"false", false, "c2"},
		{"true", true, "c3"},
		{"the largest int of one byte", int64(127), "7f"},
		{"the smallest int of one byte", int64(-16), "f0"},
		{"one below it takes two", int64(-17), "c8ef"},
		{"the smallest of eight bits", int64(-128), "c880"},
		{"128 does not fit eight bits", int64(128), "c90080"},
		{"the smallest of sixteen bits", int64(math.MinInt16), "c98000"},
		{"above sixteen bits", int64(math.MaxInt16 + 1), "ca00008000"},
		{"the smallest of thirty-two bits", int64(math.MinInt32), "ca80000000"},
		{"above thirty-two bits", int64(math.MaxInt32 + 1), "cb0000000080000000"},
		{"the smallest of all", int64(math.MinInt64), "cb8000000000000000"},
		{"a plain int", 42, "2a"},
		{"a float", 1.5, "c13ff8000000000000"},
		{"the empty string", "", "80"},
		{"a short string", "a", "8161"},
		{"a string of 16 bytes", strings.Repeat("a", 16), "d010" + strings.Repeat("61", 16)},
		{"the empty byte array", []byte{}, "cc00"},
		{"a byte array", []byte{1, 2}, "cc020102"},
		{"the empty list", []any{}, "90"},
		{"a list", []any{int64(1), nil}, "9201c0"},
		{"a list of strings", []string{"a", "b"}, "9281618162"},
		{"the empty map", map[string]any{}, "a0"},
		{"a nil map", map[string]any(nil), "a0"},
		{"map keys are sorted", map[string]any{"b": int64(2), "a": int64(1)}, "a28161018162" + "02"},
		{"a map of strings", map[string]string{"a": "b"}, "a181618162"},
		{"a structure", Structure{Tag: 0x4E, Fields: []any{int64(1)}}, "b14e01"},
		{"a structure of sixteen fields", Structure{Tag: 0x4E, Fields: make([]any, 16)}, "dc104e" + strings.Repeat("c0", 16)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprintf("%x", AppendValue(nil, tt.value)); got != tt.want {
				t.Errorf("got %s; want %s", got, tt.want)
			}
		})
	}
}

func TestAppendValueRefusesOtherTypes(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a channel was encoded; want a panic that names the type")
		}
	}()
	AppendValue(nil, make(chan int))
}

// sizes are lengths on both sides of every limit between the forms of a header.
var sizes = []int{0, 1, 15, 16, 255, 256, 65535, 65536}

func TestEveryLengthReadsBack(t *testing.T) {
	for _, n := range sizes {
		list, m := make([]any, n), make(map[string]any, n)
		for i := range n {
			list[i], m[fmt.Sprint(i)] = int64(i), nil
		}
		values := []any{strings.Repeat("x", n), bytes.Repeat([]byte{7}, n), list, m}
		if n <= math.MaxUint16 {
			values = append(values, Structure{Tag: 1, Fields: list})
		}
		for _, v := range values {
			checkRoundTrip(t, v)
		}
	}
}

func TestEveryIntReadsBack(t *testing.T) {
	for shift := range 64 {
		for _, near := range []int64{-2, -1, 0, 1, 2} {
			checkRoundTrip(t, int64(1)<<shift+near)
			checkRoundTrip(t, -(int64(1)<<shift)+near)
		}
	}
}

func TestAnyWidthOfAnIntIsAccepted(t *testing.T) {
	for _, v := range []int64{-128, -17, -16, -1, 0, 1, 127} {
		wide := [][]byte{
			{markerInt8, byte(v)},
			binary.BigEndian.AppendUint16([]byte{markerInt16}, uint16(v)),
			binary.BigEndian.AppendUint32([]byte{markerInt32}, uint32(v)),
			binary.BigEndian.AppendUint64([]byte{markerInt64}, uint64(v)),
		}
		for _, b := range wide {
			d := NewDecoder(b)
			if got := d.Int(); got != v || d.Err() != nil || d.Len() != 0 {
				t.Errorf("%x: got %d, %v, %d bytes left; want %d", b, got, d.Err(), d.Len(), v)
			}
		}
	}
}

// checkRoundTrip holds that v reads back as it was, and that Skip, Raw and Value agree on where it ends.
func checkRoundTrip(t *testing.T, v any) {
	t.Helper()
	b := AppendValue(nil, v)
	d := NewDecoder(append(b, 0xC3)) // a value behind it must stay
	got := d.Value()
	if d.Err() != nil || d.Offset() != len(b) || !d.Bool() {
		t.Fatalf("%.80v: read %d of %d bytes: %v", v, d.Offset(), len(b), d.Err())
	}
	if again := AppendValue(nil, got); !bytes.Equal(again, b) {
		t.Fatalf("%.80v: read back as %.80v", v, got)
	}
	d = NewDecoder(append(b, 0xC3))
	if raw := d.Raw(); !bytes.Equal(raw, b) || d.Len() != 1 {
		t.Fatalf("%.80v: Raw took %d of %d bytes: %v", v, len(raw), len(b), d.Err())
	}
}

// random makes a value of any type; depth bounds its nesting.
func random(r *rand.Rand, depth int) any {
	kinds := 10
	if depth == 0 {
		kinds = 6
	}
	size := r.IntN(20)
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return int64(r.Uint64()) >> r.IntN(64)
	case 3:
		return math.Float64frombits(r.Uint64())
	case 4:
		return strings.Repeat("é", r.IntN(200))
	case 5:
		return bytes.Repeat([]byte{byte(size)}, r.IntN(300))
	case 6, 7:
		list := make([]any, size)
		for i := range list {
			list[i] = random(r, depth-1)
		}
		return list
	case 8:
		m := make(map[string]any, size)
		for range size {
			m[fmt.Sprint(r.IntN(1000))] = random(r, depth-1)
		}
		return m
	}
	s := Structure{Tag: byte(r.IntN(256)), Fields: make([]any, size)}
	for i := range s.Fields {
		s.Fields[i] = random(r, depth-1)
	}
	return s
}

func TestRandomValuesReadBack(t *testing.T) {
	for seed := range uint64(300) {
		checkRoundTrip(t, random(rand.New(rand.NewPCG(seed, 1)), 4))
	}
}

func TestACutAnywhereIsShort(t *testing.T) {
	for seed := range uint64(60) {
		b := AppendValue(nil, random(rand.New(rand.NewPCG(seed, 2)), 2))
		for cut := range min(len(b), 2000) {
			skip, value := NewDecoder(b[:cut]), NewDecoder(b[:cut])
			skip.Skip()
			value.Value()
			if !errors.Is(skip.Err(), ErrShort) || !errors.Is(value.Err(), ErrShort) {
				t.Fatalf("seed %d cut at %d of %d: Skip says %v, Value %v; want ErrShort of both", seed, cut, len(b), skip.Err(), value.Err())
			}
		}
	}
}

func TestTheFirstErrorSticks(t *testing.T) {
	d := NewDecoder([]byte{0xC0, 0x01, 0x02})
	if d.String() != nil || !errors.Is(d.Err(), ErrMarker) {
		t.Fatalf("a null read as a string: %v; want ErrMarker", d.Err())
	}
	first := d.Err()
	tag, fields := d.Struct()
	if d.Int() != 0 || d.List() != 0 || d.Map() != 0 || d.Bool() || d.Bytes() != nil || d.Value() != nil || tag != 0 || fields != 0 || d.Raw() != nil {
		t.Error("a decoder that failed still returns values")
	}
	if d.Err() != first || d.Kind() != KindNone {
		t.Errorf("got %v, kind %d; want the first error %v and KindNone", d.Err(), d.Kind(), first)
	}
}

func TestEveryReaderNamesAWrongMarker(t *testing.T) {
	readers := map[string]func(*Decoder){
		"String": func(d *Decoder) { d.String() }, "List": func(d *Decoder) { d.List() }, "Map": func(d *Decoder) { d.Map() },
		"Struct": func(d *Decoder) { d.Struct() }, "Int": func(d *Decoder) { d.Int() }, "Bool": func(d *Decoder) { d.Bool() },
		"Bytes": func(d *Decoder) { d.Bytes() }, "Skip": func(d *Decoder) { d.Skip() }, "Value": func(d *Decoder) { d.Value() },
	}
	for name, read := range readers {
		d := NewDecoder([]byte{0xC7, 1, 2, 3, 4, 5, 6, 7, 8}) // no such marker
		if read(&d); !errors.Is(d.Err(), ErrMarker) {
			t.Errorf("%s of marker c7: %v; want ErrMarker", name, d.Err())
		}
		d = Decoder{}
		if read(&d); !errors.Is(d.Err(), ErrShort) {
			t.Errorf("%s of nothing: %v; want ErrShort", name, d.Err())
		}
	}
}

func TestKindOfEveryMarker(t *testing.T) {
	one := map[byte]Kind{0xC0: KindNull, 0xC1: KindFloat, 0xC2: KindBool, 0xC3: KindBool, 0xDC: KindStruct, 0xDD: KindStruct}
	for m := range 256 {
		want, ok := one[byte(m)]
		switch {
		case ok:
		case m < 0x80 || m >= 0xF0 || m >= 0xC8 && m <= 0xCB:
			want = KindInt
		case m < 0x90 || m >= 0xD0 && m <= 0xD2:
			want = KindString
		case m < 0xA0 || m >= 0xD4 && m <= 0xD6:
			want = KindList
		case m < 0xB0 || m >= 0xD8 && m <= 0xDA:
			want = KindMap
		case m < 0xC0:
			want = KindStruct
		case m >= 0xCC && m <= 0xCE:
			want = KindBytes
		default:
			want = KindOther
		}
		d := NewDecoder([]byte{byte(m)})
		if got := d.Kind(); got != want {
			t.Errorf("marker %02x: got kind %d; want %d", m, got, want)
		}
	}
}

func TestUUIDIsReadOver(t *testing.T) {
	b := append([]byte{0x92, 0xE0}, make([]byte, 16)...)
	b = append(b, 0x05)
	d := NewDecoder(b)
	if d.Skip(); d.Err() != nil || d.Len() != 0 {
		t.Errorf("Skip left %d bytes: %v", d.Len(), d.Err())
	}
	d = NewDecoder(b)
	if got, want := d.Value(), []any{make([]byte, 16), int64(5)}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestARepeatedKeyTheLastOneWins(t *testing.T) {
	d := NewDecoder([]byte{0xA2, 0x81, 'a', 1, 0x81, 'a', 2})
	if got, want := d.Value(), map[string]any{"a": int64(2)}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestDeepNesting(t *testing.T) {
	const depth = 1_000_000
	b := append(bytes.Repeat([]byte{0x91}, depth), 0xC0)
	d := NewDecoder(b)
	if d.Skip(); d.Err() != nil || d.Len() != 0 {
		t.Errorf("Skip left %d bytes: %v; it needs no stack", d.Len(), d.Err())
	}
	d = NewDecoder(b)
	if d.Value(); d.Err() == nil {
		t.Error("Value went a million lists deep; want an error")
	}
	d = NewDecoder(append(bytes.Repeat([]byte{0x91}, maxDepth), 0xC0))
	if d.Value(); d.Err() != nil {
		t.Errorf("%d lists in each other: %v; want no error", maxDepth, d.Err())
	}
}

// claims are values that say they hold more than there is.
func claims() map[string][]byte {
	huge := []byte{0xFF, 0xFF, 0xFF, 0xFF}
	nested := bytes.Repeat([]byte{0xD6, 0, 0, 0, 200}, 63) // each list holds in truth one
	return map[string][]byte{
		"string":           append([]byte{markerStr32}, huge...),
		"bytes":            append([]byte{markerBytes32}, huge...),
		"list":             append([]byte{markerList32}, huge...),
		"map":              append([]byte{markerMap32}, huge...),
		"a negative list":  {markerList32, 0x80, 0, 0, 0},
		"struct":           {markerStruct, 0xFF, 0xFF, 1},
		"nested lists":     nested,
		"maps of one byte": {markerMap8, 2, 0x80, 0x80},
		"list in a list":   {0x92, 0x91},
	}
}

func TestNoClaimedLengthSizesAnAllocation(t *testing.T) {
	for name, b := range claims() {
		skip := NewDecoder(b)
		if skip.Skip(); !errors.Is(skip.Err(), ErrShort) {
			t.Errorf("%s: Skip says %v; want ErrShort", name, skip.Err())
		}
		result := testing.Benchmark(func(tb *testing.B) {
			tb.ReportAllocs()
			for range min(tb.N, 20) {
				d := NewDecoder(b)
				d.Value()
			}
		})
		if used := result.MemBytes / 20; used > 256<<10 {
			t.Errorf("%s: Value took %d bytes for an input of %d", name, used, len(b))
		}
	}
}

func TestSkipDoesNotAllocate(t *testing.T) {
	b := AppendValue(nil, random(rand.New(rand.NewPCG(8, 3)), 5))
	if n := testing.AllocsPerRun(20, func() { d := NewDecoder(b); d.Skip() }); n != 0 {
		t.Errorf("Skip allocates %v times; want 0", n)
	}
}

// FuzzDecode holds that no input makes a decoder panic, that Skip goes over every value that Value decodes and stops at the
// same byte, and that encoding again what was decoded settles at once.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(40) {
		if b := AppendValue(nil, random(rand.New(rand.NewPCG(seed, 4)), 1)); len(b) < 500 {
			f.Add(b)
		}
	}
	for _, b := range claims() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		value, skip := NewDecoder(b), NewDecoder(b)
		v := value.Value()
		skip.Skip()
		if value.Err() != nil {
			return
		}
		if skip.Err() != nil || skip.Offset() != value.Offset() {
			t.Fatalf("%x: Value ends at %d, Skip at %d: %v", b, value.Offset(), skip.Offset(), skip.Err())
		}
		once := AppendValue(nil, v)
		again := NewDecoder(once)
		if twice := AppendValue(nil, again.Value()); again.Err() != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%x: encoded as %x, then as %x: %v", b, once, twice, again.Err())
		}
	})
}
