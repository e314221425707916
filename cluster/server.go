package cluster

import "slices"

// Server is a server as members tell of it: under the addresses that it advertises, which need not be those where we reach it.
// Addresses are host:port in lower case; what is not told is empty.
type Server struct {
	ID   string // by which members know it
	Bolt string
	HTTP string   // HTTPS where members are reached by TLS
	Peer string   // where only its peers reach it: all that HA tells of the others
	Tags []string // tags or groups that its operator gave it
}

// Equal compares all that is told.
func (s Server) Equal(o Server) bool {
	return s.ID == o.ID && s.Bolt == o.Bolt && s.HTTP == o.HTTP && s.Peer == o.Peer && slices.Equal(s.Tags, o.Tags)
}

// Heard is what checks know of one member, or of a candidate, for whoever learns members from members.
type Heard struct {
	Name    string
	Up      bool
	HTTP    bool     // it answers over HTTP too
	Good    int      // good answers in a row
	Self    Server   // what it says of itself
	Servers []Server // of its cluster, as it tells; nil while it has not
}

// Equal compares two states of one member; how many answers were good matters only while they are few.
func (h Heard) Equal(o Heard) bool {
	return h.Name == o.Name && h.Up == o.Up && h.HTTP == o.HTTP && min(h.Good, 3) == min(o.Good, 3) && h.Self.Equal(o.Self) &&
		slices.EqualFunc(h.Servers, o.Servers, Server.Equal)
}
