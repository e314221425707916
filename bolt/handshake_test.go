package bolt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// peer is the other side of a handshake: what it says is known from the start, what it hears is kept.
type peer struct {
	says  io.Reader
	hears bytes.Buffer
}

func (p *peer) Read(b []byte) (int, error)  { return p.says.Read(b) }
func (p *peer) Write(b []byte) (int, error) { return p.hears.Write(b) }
func (p *peer) Close() error                { return nil }

// saying is a peer that says the hex, with spaces for reading.
func saying(text string) *peer {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return &peer{says: iotest.OneByteReader(bytes.NewReader(b))}
}

func (p *peer) heard() string { return hex.EncodeToString(p.hears.Bytes()) }

const magicHex = "6060b017 "

// What the official drivers send.
const (
	today  = magicHex + "000001ff 00080805 00020404 00000003" // Go 5.28, Java 5.28, Python 6, JavaScript 6
	era5   = magicHex + "00040405 00020404 00000104 00000003"
	era42  = magicHex + "00000104 00000004 00000003 00000002"
	era1x  = magicHex + "00000002 00000001 00000000 00000000"
	first1 = magicHex + "00000001 00000000 00000000 00000000"
)

// upTo is what a server speaks whose newest version is v and whose oldest is from.
func upTo(v, from Version) (list []Version) {
	for _, have := range Versions {
		if have <= v && have >= from {
			list = append(list, have)
		}
	}
	return list
}

func TestAcceptHandshakeOfTheDrivers(t *testing.T) {
	tests := []struct {
		name    string
		says    string
		offered []Version
		want    Version
		answer  string
	}{
		{"today's driver before 5.26: the range", today, upTo(V5_6, V4_0), V5_6, "00000605"},
		{"today's driver before 5.4", today, upTo(V5_1, V4_0), V5_1, "00000105"},
		{"today's driver before 4.4", today, upTo(V4_4, V3), V4_4, "00000404"},
		{"today's driver before 4.2: the end of a range", today, upTo(V(4, 2), V3), V(4, 2), "00000204"},
		{"today's driver before 4.1: below the range", today, upTo(V4_1, V3), V3, "00000003"},
		{"today's driver before 3.5", today, upTo(V3, V1), V3, "00000003"},
		{"the range does not reach 5.5, which nobody has", era5, upTo(V5_6, V4_0), V5_4, "00000405"},
		{"a driver of 5.4's time before a new member", era5, Versions, V5_4, "00000405"},
		{"a driver of 5.4's time before 4.0", era5, upTo(V4_0, V3), V3, "00000003"},
		{"a driver of 4.2's time", era42, Versions, V4_1, "00000104"},
		{"a driver of 4.2's time before 4.0", era42, upTo(V4_0, V3), V4_0, "00000004"},
		{"a driver of 4.2's time before 3.4", era42, upTo(V2, V1), V2, "00000002"},
		{"a driver of 1.6's time", era1x, Versions, V2, "00000002"},
		{"a driver of 1.0's time", first1, Versions, V1, "00000001"},
		{"the client's order counts, not the newest", magicHex + "00000003 00080805 00000000 00000000", Versions, V3, "00000003"},
		{"a range longer than its minor", magicHex + "00ff0104 00000000 00000000 00000000", Versions, V4_1, "00000104"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := saying(tt.says)
			got, err := AcceptHandshake(p, tt.offered)
			if err != nil || got != tt.want || p.heard() != tt.answer {
				t.Errorf("got %v, %v, answer %s; want %v, answer %s", got, err, p.heard(), tt.want, tt.answer)
			}
		})
	}
}

func TestAcceptHandshakeOfEveryVersion(t *testing.T) {
	for _, v := range Versions {
		p := saying(fmt.Sprintf("%s%08x 00000000 00000000 00000000", magicHex, v.wire()))
		if got, err := AcceptHandshake(p, Versions); got != v || err != nil {
			t.Errorf("%v proposed exactly: got %v, %v", v, got, err)
		}
		p = saying(fmt.Sprintf("%s 0000%02x%02x", today, v.Minor(), v.Major()) + "00")
		if got, err := AcceptHandshake(p, Versions); got != v || err != nil {
			t.Errorf("%v chosen from the manifest: got %v, %v", v, got, err)
		}
		list := p.hears.Bytes()
		if len(list) != 4+1+4*len(Versions)+1 || binary.BigEndian.Uint32(list) != manifest || int(list[4]) != len(Versions) || list[len(list)-1] != 0 {
			t.Errorf("the manifest reads %x", list)
		}
	}
}

func TestAcceptHandshakeRefuses(t *testing.T) {
	tests := []struct {
		name   string
		says   string
		want   error
		answer string
	}{
		{"nothing in common", magicHex + "00000007 00000009 00000000 00000000", ErrNoVersion, "00000000"},
		{"5.5, which nobody has", magicHex + "00000505 00000000 00000000 00000000", ErrNoVersion, "00000000"},
		{"nothing proposed", magicHex + "00000000 00000000 00000000 00000000", ErrNoVersion, "00000000"},
		{"HTTP", hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: gate\r\n")), ErrMagic, ""},
		{"a cut handshake", today[:35], io.ErrUnexpectedEOF, ""},
		{"nothing at all", "", io.EOF, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := saying(tt.says)
			if v, err := AcceptHandshake(p, Versions); v != 0 || !errors.Is(err, tt.want) || p.heard() != tt.answer {
				t.Errorf("got %v, %v, answer %q; want %v, answer %q", v, err, p.heard(), tt.want, tt.answer)
			}
		})
	}
	p := saying(today)
	if _, err := AcceptHandshake(p, nil); !errors.Is(err, ErrNoVersion) || p.heard() != "00000000" {
		t.Errorf("with nothing to offer: %v, answer %s; want ErrNoVersion", err, p.heard())
	}
}

func TestAcceptHandshakeRefusesBadChoices(t *testing.T) {
	tests := []struct {
		name, choice string
		want         error
	}{
		{"the client wants none", "00000000 00", ErrNoVersion},
		{"a version that was not offered", "00000505 00", ErrNoVersion},
		{"a range", "00080805 00", ErrNoVersion},
		{"a capability that was not offered", "00000805 01", ErrNoVersion},
		{"it leaves before the choice", "", io.EOF},
		{"it leaves before the capabilities", "00000805", io.EOF},
		{"capabilities without an end", "00000805 8080808080 8080808080 8080", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := AcceptHandshake(saying(today+tt.choice), Versions)
			if v != 0 || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, %v; want %v", v, err, tt.want)
			}
		})
	}
}

func TestAcceptHandshakeLeavesWhatFollows(t *testing.T) {
	for _, says := range []string{today + "0000080580 00", era5} {
		p := saying(says + "cafe")
		if _, err := AcceptHandshake(p, Versions); err != nil {
			t.Fatal(err)
		}
		if rest, _ := io.ReadAll(p); !bytes.Equal(rest, []byte{0xCA, 0xFE}) {
			t.Errorf("%x is left; want cafe", rest)
		}
	}
}

func TestAcceptHandshakeSaysWhenItCannotAnswer(t *testing.T) {
	broken := errors.New("broken")
	for _, says := range []string{today, era5, magicHex + "00000007 00000000 00000000 00000000"} {
		rw := struct {
			io.Reader
			io.Writer
		}{saying(says), failWriter{broken}}
		if _, err := AcceptHandshake(rw, Versions); !errors.Is(err, broken) {
			t.Errorf("got %v; want the connection's error", err)
		}
	}
}

type failWriter struct{ err error }

func (w failWriter) Write([]byte) (int, error) { return 0, w.err }

func TestHandshake(t *testing.T) {
	tests := []struct {
		name, answer string
		want         Version
		err          error
	}{
		{"the second choice", "00000404", V4_4, nil},
		{"none", "00000000", 0, ErrNoVersion},
		{"the server closes", "", 0, io.EOF},
		{"half an answer", "0000", 0, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := saying(tt.answer)
			got, err := Handshake(p, V5_4, V4_4, V3)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, tt.want, tt.err)
			}
			if want := "6060b017" + "00000405" + "00000404" + "00000003" + "00000000"; p.heard() != want {
				t.Errorf("sent %s; want %s", p.heard(), want)
			}
		})
	}
	for _, answer := range []string{"00000305", "48545450", "000001ff"} {
		if v, err := Handshake(saying(answer), V5_4); v != 0 || err == nil || errors.Is(err, ErrNoVersion) {
			t.Errorf("answer %s: got %v, %v; want an error of its own", answer, v, err)
		}
	}
}

// server answers handshakes as a Neo4j of some age does.
type server struct {
	versions    []Version
	manifest    bool
	ignoreRange bool
	dials       int
}

func (s *server) dial() (io.ReadWriteCloser, error) {
	s.dials++
	c, d := pipeEnds()
	go func() {
		defer d.Close()
		s.answer(d)
	}()
	return c, nil
}

// answer is written without the code under test.
func (s *server) answer(rw io.ReadWriter) {
	var hello [20]byte
	if _, err := io.ReadFull(rw, hello[:]); err != nil {
		return
	}
	for i := 4; i < 20; i += 4 {
		p := hello[i : i+4]
		if s.manifest && bytes.Equal(p, []byte{0, 0, 1, 0xFF}) {
			rw.Write(s.offer())              //nolint:errcheck // shows in the probe
			io.ReadFull(rw, make([]byte, 5)) //nolint:errcheck // a probe just leaves
			return
		}
		back := int(p[1])
		if s.ignoreRange {
			back = 0
		}
		for minor := int(p[2]); minor >= max(int(p[2])-back, 0); minor-- {
			if slices.Contains(s.versions, V(p[3], uint8(minor))) {
				rw.Write([]byte{0, 0, byte(minor), p[3]}) //nolint:errcheck // shows in the probe
				return
			}
		}
	}
	rw.Write(make([]byte, 4)) //nolint:errcheck // shows in the probe
}

// offer lists versions as 5.26 does: runs of minors as ranges.
func (s *server) offer() []byte {
	var runs [][]Version
	for _, v := range s.versions {
		if n := len(runs); n > 0 && runs[n-1][len(runs[n-1])-1] == v+1 {
			runs[n-1] = append(runs[n-1], v)
			continue
		}
		runs = append(runs, []Version{v})
	}
	b := []byte{0, 0, 1, 0xFF, byte(len(runs))}
	slices.Reverse(runs) // their order says nothing
	for _, r := range runs {
		b = append(b, 0, byte(len(r)-1), r[0].Minor(), r[0].Major())
	}
	return append(b, 0)
}

func TestProbe(t *testing.T) {
	tests := []struct {
		name   string
		server server
	}{
		{"3.0, Bolt 1 alone", server{versions: upTo(V1, V1), ignoreRange: true}},
		{"3.4", server{versions: upTo(V2, V1), ignoreRange: true}},
		{"3.5", server{versions: upTo(V3, V1), ignoreRange: true}},
		{"4.0", server{versions: upTo(V4_0, V3), ignoreRange: true}},
		{"4.2, which ignores ranges", server{versions: upTo(V(4, 2), V3), ignoreRange: true}},
		{"4.3", server{versions: upTo(V4_3, V3)}},
		{"4.4", server{versions: upTo(V4_4, V3)}},
		{"5.0", server{versions: upTo(V5_0, V4_0)}},
		{"5.13", server{versions: upTo(V5_4, V4_0)}},
		{"5.25", server{versions: upTo(V5_6, V4_0)}},
		{"5.26", server{versions: upTo(V5_8, V4_0), manifest: true}},
		{"2025.10", server{versions: upTo(V6_0, V4_0), manifest: true}},
		{"one that offers all", server{versions: Versions, manifest: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Probe(tt.server.dial)
			if err != nil || !slices.Equal(got, tt.server.versions) {
				t.Errorf("got %v, %v; want %v", got, err, tt.server.versions)
			}
			if tt.server.dials > 9 {
				t.Errorf("it took %d connections", tt.server.dials)
			}
		})
	}
}

func TestProbeKnowsOnlyOurVersions(t *testing.T) {
	future := server{versions: []Version{V(7, 1), V(7, 0), V6_0, V5_8, V5_7}, manifest: true}
	if got, err := Probe(future.dial); err != nil || !slices.Equal(got, []Version{V6_0, V5_8, V5_7}) {
		t.Errorf("got %v, %v; want 6.0, 5.8 and 5.7", got, err)
	}
	stranger := server{versions: []Version{V(9, 0)}, manifest: true}
	if got, err := Probe(stranger.dial); !errors.Is(err, ErrNoVersion) {
		t.Errorf("nothing in common: got %v, %v; want ErrNoVersion", got, err)
	}
}

func TestProbeOfWhatIsNoServer(t *testing.T) {
	refused := errors.New("connection refused")
	if _, err := Probe(func() (io.ReadWriteCloser, error) { return nil, refused }); !errors.Is(err, refused) {
		t.Errorf("got %v; want the dial's error", err)
	}
	for _, says := range []string{
		"", "00", "485454502f312e31", "000001ff", "000001ff ffffffff7f", "000001ff 04 00040404 00", "000001ff 41" + strings.Repeat("00000004", 65) + "00",
		"000001ff ffffffffffffffffffffffff",
	} {
		v, err := Probe(func() (io.ReadWriteCloser, error) { return saying(says), nil })
		if err == nil || strings.Contains(err.Error(), "%!") {
			t.Errorf("%q: got %v, error %v; want a readable error", says, v, err)
		}
	}
}

// FuzzAcceptHandshake holds that no client makes the handshake panic, read past its end, or settle on what was not offered.
func FuzzAcceptHandshake(f *testing.F) {
	for _, s := range []string{today + "00000805 00", era5, era42, era1x, first1, magicHex + "00ff0104 00000007 000001ff 00000000 80808000"} {
		b, _ := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		f.Add(b, uint32(1<<18-1))
	}
	f.Fuzz(func(t *testing.T, b []byte, mask uint32) {
		var offered []Version
		for i, v := range Versions {
			if mask>>i&1 == 1 {
				offered = append(offered, v)
			}
		}
		whole, bytewise := &peer{says: bytes.NewReader(b)}, &peer{says: iotest.OneByteReader(bytes.NewReader(b))}
		v, err := AcceptHandshake(whole, offered)
		w, err2 := AcceptHandshake(bytewise, offered)
		if v != w || (err == nil) != (err2 == nil) || !bytes.Equal(whole.hears.Bytes(), bytewise.hears.Bytes()) {
			t.Fatalf("at once %v %v; byte by byte %v %v", v, err, w, err2)
		}
		if (err == nil) != (v != 0) || err == nil && !slices.Contains(offered, v) {
			t.Fatalf("settled on %v, %v of %v", v, err, offered)
		}
	})
}

// FuzzProbe holds that no server makes a probe panic, hang, or find what we do not speak.
func FuzzProbe(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0xFF, 1, 0, 8, 8, 5, 0}, []byte{0, 0, 4, 4})
	f.Add([]byte{0, 0, 0, 0}, []byte{0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, first, later []byte) {
		dials := 0
		got, err := Probe(func() (io.ReadWriteCloser, error) {
			if dials++; dials == 1 {
				return &peer{says: bytes.NewReader(first)}, nil
			}
			return &peer{says: bytes.NewReader(later)}, nil
		})
		if dials > 2*len(Versions) || (err == nil) != (len(got) > 0) {
			t.Fatalf("%d connections: %v, %v", dials, got, err)
		}
		for i, v := range got {
			if !slices.Contains(Versions, v) || i > 0 && got[i-1] <= v {
				t.Fatalf("found %v", got)
			}
		}
	})
}
