package configs

// This file owns the scalar values that carry a unit or a secret: how they are read and how they are written back.

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written with a unit: 64KiB, 16MiB.
type Size int64

// sizeUnits, the largest first so that String finds the shortest form.
var sizeUnits = []struct {
	name  string
	bytes Size
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String returns the size as the file would say it.
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	for _, u := range sizeUnits {
		if s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Percent is a share in hundredths, written with its sign: 20 is 20%.
type Percent float64

// String returns the share as the file would say it.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// Rate is how often something may happen, by the second, written with its unit: 10/s, 600/m, 1000/h.
type Rate float64

// rateUnits are how many seconds each unit has, the shortest first.
var rateUnits = []struct {
	name    string
	seconds float64
}{{"s", 1}, {"m", 60}, {"h", 3600}}

// String returns the rate as the file would say it.
func (r Rate) String() string {
	if r == 0 {
		return "0"
	}
	for _, u := range rateUnits {
		if n := math.Round(float64(r) * u.seconds); math.Abs(n-float64(r)*u.seconds) < 1e-9*n {
			return strconv.FormatFloat(n, 'f', -1, 64) + "/" + u.name
		}
	}
	return strconv.FormatFloat(float64(r), 'f', -1, 64) + "/s"
}

// Secret is a password. Every way of printing it shows only whether there is one; Value gives it away.
type Secret string

const hidden = "(hidden)"

// Value returns the secret itself.
func (s Secret) Value() string { return string(s) }

// String returns a stand-in for the secret, "" for none.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString keeps the secret out of %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue keeps the secret out of structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the secret out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// The parsers below return errors that say what is wrong with the form and never repeat the text, which may come from a variable or a file.

func parseDuration(text string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		if text == "0" {
			return 0, nil
		}
		return 0, errors.New("a number without a unit; write a duration such as 500ms, 2s, 5m or 1h")
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("expected a duration such as 500ms, 2s, 5m or 1h")
	case d < 0:
		return 0, errors.New("a duration cannot be negative")
	}
	return d, nil
}

func parseSize(text string) (Size, error) {
	digits := strings.TrimRight(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	unit := text[len(digits):]
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	switch {
	case err != nil:
		return 0, errors.New("expected a size such as 64KiB, 16MiB or 1GiB")
	case n < 0:
		return 0, errors.New("a size cannot be negative")
	case unit == "" && n == 0:
		return 0, nil
	case unit == "":
		return 0, errors.New("a number without a unit; write a size such as 64KiB, 16MiB or 1GiB")
	}
	for _, u := range sizeUnits {
		if u.name != unit {
			continue
		}
		if n > int64(1<<62/u.bytes) {
			return 0, errors.New("a size this large does not fit")
		}
		return Size(n) * u.bytes, nil
	}
	return 0, errors.New("unknown unit of size; the units are B, KiB, MiB, GiB and TiB")
}

func parsePercent(text string) (Percent, error) {
	if text == "0" {
		return 0, nil
	}
	number, found := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil:
		return 0, errors.New("expected a percentage such as 20%")
	case !found:
		return 0, errors.New("a number without a unit; write a percentage such as 20%")
	case !(n >= 0 && n <= 100):
		return 0, errors.New("a percentage lies between 0% and 100%")
	}
	return Percent(n), nil
}

func parseRate(text string) (Rate, error) {
	if text == "0" {
		return 0, nil
	}
	number, unit, found := strings.Cut(text, "/")
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil:
		return 0, errors.New("expected a rate such as 10/s, 600/m or 1000/h")
	case !found:
		return 0, errors.New("a number without a unit; write a rate such as 10/s, 600/m or 1000/h")
	case !(n > 0 && n <= 1e6):
		return 0, errors.New("the number of a rate lies above 0 and up to 1000000; 0 alone is no limit")
	}
	for _, u := range rateUnits {
		if u.name == unit {
			return Rate(n / u.seconds), nil
		}
	}
	return 0, errors.New("unknown unit of time; a rate is by s, m or h")
}

// parsePrefix reads a network; a bare address stands for itself alone.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errors.New("expected a network such as 10.0.0.0/8 or fd00::/8, or an address")
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits set behind its /%d; the network is %s", p.Bits(), p.Masked())
	}
	return p, nil
}
