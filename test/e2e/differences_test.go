package e2e

// This file owns where the gate answers a raw client otherwise than the servers behind it, each with the reason.

import (
	"cmp"
	"slices"
	"strings"

	"github.com/boltgate/boltgate/test/labs/exchange"
)

// difference is one line of a scenario's shape; got and want are beginnings of lines.
type difference struct {
	scenario  string // "" for any
	got, want string
	why       string
}

const (
	requestInvalid = "S: FAILURE Neo.ClientError.Request.Invalid "
	malformed      = "A message that is no structure gets Request.Invalid and ends the session; servers before 5.x close without a word, newer ones go on after the failure."
	ownRefusal     = "What is not legal where it stands is refused by the gate itself, without the cause that newer servers add."
	helloOwn       = "S: SUCCESS {connection_id, hints, protocol_version, server}"
	helloServer    = "S: SUCCESS {connection_id, hints, server}"
	ownHello       = "HELLO and LOGON are answered by the gate: with the protocol's version since 5.7, without a member's address."
	ownRollback    = "The transaction is gone, so the gate answers ROLLBACK itself."
	ownTable       = "Routing tables are the gate's own, on a HA cluster too, which has none itself."
)

var differences = []difference{
	{"no structure", requestInvalid, "S: closed", malformed},
	{"no structure", requestInvalid, requestInvalid, malformed},
	{"no structure", "S: closed", "S: SUCCESS", malformed},
	{"NOOP", "S: SUCCESS", "S: closed", "A client may send NOOPs; servers before 5.x end the session."},
	{"route", "S: SUCCESS {fields}", "S: FAILURE Neo.ClientError.Procedure.ProcedureNotFound ", ownTable},
	{"getServers", "S: SUCCESS {fields}", "S: FAILURE Neo.ClientError.Procedure.ProcedureNotFound ", ownTable},
	{"route", "S: SUCCESS {fields}", "S: SUCCESS {fields, ", ownTable},
	{"route", "S: SUCCESS {type}", "S: SUCCESS {", ownTable},
	{"getServers", "S: SUCCESS {type}", "S: SUCCESS {", ownTable},
	{"getServers", "S: SUCCESS {fields}", "S: SUCCESS {fields, ", ownTable},
	{"ACK_FAILURE in a transaction", "S: SUCCESS {fields}", "S: SUCCESS {fields, ", ownRollback},
	{"ACK_FAILURE in a transaction", "S: SUCCESS {type}", "S: SUCCESS {}", ownRollback},
	{"", requestInvalid + "{description, gql_status, message, neo4j_code}", requestInvalid + "{cause, description, diagnostic_record,", ownRefusal},
	{"telemetry", "S: SUCCESS", "S: FAILURE Neo.DatabaseError.General.UnknownError ", "The gate takes telemetry and passes none on, so it minds no number."},
	{"RUN with too few fields", "S: FAILURE Neo.ClientError.Request.InvalidFormat {description,", "S: FAILURE Neo.ClientError.Request.InvalidFormat {cause, description,", ownRefusal},
	{"logon", helloOwn, helloServer, ownHello},
	{"wrong password", helloOwn, helloServer, ownHello},
	{"logon", "S: SUCCESS {}", "S: SUCCESS {advertised_address}", ownHello},
	{"another login", "S: SUCCESS {}", "S: SUCCESS {advertised_address}", ownHello},
	{"logon", "S: SUCCESS {connection_id, server}", "S: SUCCESS {connection_id, hints, server}", "Before 4.3 the protocol has no hints, though servers send them."},
}

// unexpected returns the first line in which the gate's answers differ from the server's for no reason that is known, "" when there is none. Where
// they differ in kind for a known reason the rest of the conversation is another one, and is not compared. differ is told which of the differences it met.
func unexpected(got, want exchange.Scenario, differ func(int)) string {
	for i := range max(len(got.Lines), len(want.Lines)) {
		if i < len(got.Lines) && i < len(want.Lines) {
			g, w := got.Lines[i], want.Lines[i]
			if g == w {
				continue
			}
			if known := slices.IndexFunc(differences, func(d difference) bool { return d.fits(got.Name, g, w) }); known >= 0 {
				differ(known)
				if kind(g) != kind(w) {
					return ""
				}
				continue
			}
		}
		got.Lines = append(slices.Clone(want.Lines[:min(i, len(want.Lines))]), got.Lines[min(i, len(got.Lines)):]...) // what is known is no news
		return exchange.Diff(got, want)
	}
	return ""
}

func (d difference) fits(scenario, got, want string) bool {
	return (d.scenario == scenario || d.scenario == "") && strings.HasPrefix(got, d.got) && strings.HasPrefix(want, d.want)
}

// kind is the first two words of a line.
func kind(line string) string {
	words := strings.SplitN(line, " ", 3)
	return strings.Join(words[:min(2, len(words))], " ")
}

// reasons returns every reason once, with the scenarios that it is for.
func reasons() []string {
	var all []string
	scenarios := map[string][]string{}
	for _, d := range differences {
		if scenarios[d.why] == nil {
			all = append(all, d.why)
		}
		name := cmp.Or(d.scenario, "any conversation")
		if !slices.Contains(scenarios[d.why], name) {
			scenarios[d.why] = append(scenarios[d.why], name)
		}
	}
	for i, why := range all {
		all[i] = why + " (" + strings.Join(scenarios[why], ", ") + ")"
	}
	return all
}
