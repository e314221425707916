package bolt

import (
	"encoding/base64"
	"slices"
	"testing"

	"github.com/boltgate/boltgate/bolt/packstream"
)

var someDB = [16]byte{0xb9, 0x77, 0x04, 0xa1, 0x6b, 0x68, 0x4e, 0xfe, 0x9c, 0x14, 0xb1, 0x53, 0x36, 0x4b, 0xcc, 0x22}

func TestBookmarksSayPositions(t *testing.T) {
	two := packstream.AppendInt(packstream.AppendBytes(packstream.AppendList(nil, 2), SystemDB[:]), 9)
	two = packstream.AppendInt(packstream.AppendBytes(two, someDB[:]), 300)
	external := packstream.AppendList(two[:len(two):len(two)], 1)
	fabric := func(b []byte) string { return "FB:" + base64.StdEncoding.EncodeToString(b) }
	for _, c := range []struct {
		text   string
		format BookmarkFormat
		want   []Position
	}{
		{"neo4j:bookmark:v1:tx42", BookmarkTx, []Position{{Tx: 42}}},
		{"neo4j:bookmark:v1:tx", BookmarkUnknown, nil},
		{"neo4j:bookmark:v1:tx-1", BookmarkUnknown, nil},
		{"neo4j:bookmark:v2:tx42", BookmarkUnknown, nil},
		{"b97704a1-6b68-4efe-9c14-b153364bcc22:17", BookmarkUUID, []Position{{someDB, 17}}},
		{"b97704a1-6b68-4efe-9c14-b153364bcc2:17", BookmarkUnknown, nil},
		{"b97704a1+6b68-4efe-9c14-b153364bcc22:17", BookmarkUnknown, nil},
		{"b97704a1-6b68-4efe-9c14-b153364bcc22:", BookmarkUnknown, nil},
		{"FB:", BookmarkFabric, nil},
		{"FB:kcwQuXcEoWtoTv6cFLFTNkvMIhGQ", BookmarkFabric, []Position{{someDB, 17}}},
		{"FB:kcwQuXcEoWtoTv6cFLFTNkvMIhGR", BookmarkUnknown, nil}, // an external graph is missing
		{"FB:kcwQuXcEoWtoTv6cFLFTNkvMIhE=", BookmarkUnknown, nil},
		{"FB:kcwQuXcEoWtoTv6cFLFTNkvMIhGQAA==", BookmarkUnknown, nil}, // something follows
		{"FB:!", BookmarkUnknown, nil},
		{fabric(packstream.AppendList(two[:len(two):len(two)], 0)), BookmarkFabric, []Position{{SystemDB, 9}, {someDB, 300}}},
		{fabric(packstream.AppendString(external, "graph")), BookmarkUnknown, nil},
		{"", BookmarkUnknown, nil},
		{"nonsense", BookmarkUnknown, nil},
	} {
		got, format := ParseBookmark(nil, []byte(c.text))
		if !slices.Equal(got, c.want) || format != c.format {
			t.Errorf("%s: got %v, format %d; want %v, format %d", c.text, got, format, c.want, c.format)
		}
	}
}

func TestABookmarkThatWasWrittenIsReadAgain(t *testing.T) {
	for _, format := range []BookmarkFormat{BookmarkTx, BookmarkUUID, BookmarkFabric} {
		for _, tx := range []int64{0, 1, 127, 128, 70000, 1 << 40} {
			want := Position{someDB, tx}
			if format == BookmarkTx {
				want.DB = [16]byte{}
			}
			text := AppendBookmark(nil, format, want)
			got, is := ParseBookmark(nil, text)
			if len(got) != 1 || got[0] != want || is != format {
				t.Errorf("%s: got %v, format %d; want %v, format %d", text, got, is, want, format)
			}
		}
	}
}

func TestBookmarksTakeNoAllocation(t *testing.T) {
	var room [2]Position
	out := make([]byte, 0, 100)
	n := testing.AllocsPerRun(100, func() {
		list, _ := ParseBookmark(room[:0], []byte("FB:kcwQuXcEoWtoTv6cFLFTNkvMIhGQ"))
		out = AppendBookmark(out[:0], BookmarkFabric, list[0])
	})
	if n != 0 {
		t.Errorf("got %v allocations; want none", n)
	}
}

func FuzzParseBookmark(f *testing.F) {
	for _, text := range []string{"neo4j:bookmark:v1:tx42", "b97704a1-6b68-4efe-9c14-b153364bcc22:17", "FB:kcwQuXcEoWtoTv6cFLFTNkvMIhGQ", "FB:"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, format := ParseBookmark(nil, text)
		if format == BookmarkUnknown && len(list) > 0 {
			t.Fatalf("%q cannot be read and still says %v", text, list)
		}
		for _, p := range list {
			again, _ := ParseBookmark(nil, AppendBookmark(nil, format, p))
			if len(again) != 1 || again[0] != p {
				t.Fatalf("%q says %v, which is written so that it says %v", text, p, again)
			}
		}
	})
}

func BenchmarkParseBookmark(b *testing.B) {
	b.ReportAllocs()
	var room [4]Position
	text := []byte("FB:kcwQuXcEoWtoTv6cFLFTNkvMIhGQ")
	for b.Loop() {
		ParseBookmark(room[:0], text)
	}
}
