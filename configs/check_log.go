package configs

import (
	"net"
	"net/url"
)

// This file owns the checks of section log.

func (c *checker) log() {
	l := &c.config.Log
	if _, _, err := l.AccessLines(); err != nil {
		c.fault("log.access", "expected off, on, or the share of units of work that have a line, such as 5%% (found %s)", c.words("log.access", l.Access))
	}
	if l.OTLP != "" {
		c.collector(l.OTLP)
	}
}

// collector checks where spans are sent. A login in it would be shown by check --diff and in logs.
func (c *checker) collector(text string) {
	const key = "log.otlp"
	u, err := url.Parse(text)
	switch {
	case c.faults.under(key):
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		c.fault(key, "expected http://HOST:PORT or https://HOST:PORT of a collector that takes OTLP over HTTP")
	case u.User != nil:
		c.fault(key, "a login or token does not belong here; give it in the environment, as OTEL_EXPORTER_OTLP_HEADERS")
	case u.RawQuery != "" || u.Fragment != "":
		c.fault(key, "expected a URL without a query: /v1/traces is put behind its path")
	case u.Port() == "4317":
		c.warn(key, "4317 is the port that collectors take OTLP over gRPC at; over HTTP it is 4318")
	case u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "80")):
		c.warn(key, "spans travel in plain text, and with them the texts of queries in normal form")
	}
}

// AccessLines is what Access says: whether there are lines, and for what share of the units of work, from 0 to 1.
func (l *Log) AccessLines() (on bool, share float64, err error) {
	switch l.Access {
	case "off":
		return false, 0, nil
	case "on":
		return true, 1, nil
	}
	p, err := parsePercent(l.Access)
	return p > 0, float64(p) / 100, err
}
