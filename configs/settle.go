package configs

// This file owns what is filled in after decoding because it depends on more than one key: names of members, modes, bind templates.

import (
	"fmt"
	"slices"
	"strings"
)

// settle completes the decoded configuration.
func (d *decoder) settle() {
	if len(d.config.Frontends) > 0 && d.at["frontends[0]"] == nil {
		d.config.Frontends[0].Routing = d.config.Routing // the default frontend was made before routing was known
	}
	d.config.Cluster.Discover.settle()
	d.settleLearning()
	for i := range d.config.Cluster.Members {
		if m := &d.config.Cluster.Members[i]; m.Name == "" && d.at[fmt.Sprintf("cluster.members[%d].name", i)] == nil {
			m.Name = fmt.Sprintf("s%d", i+1)
		}
	}
	d.settleTLS("admin.tls", &d.config.Admin.TLS, "required")
	for i := range d.config.Frontends {
		f := &d.config.Frontends[i]
		path := fmt.Sprintf("frontends[%d]", i)
		d.settleTLS(path+".tls", &f.TLS, "optional")
		for j, bind := range f.Bind {
			f.Bind[j] = d.fillBind(fmt.Sprintf("%s.bind[%d]", path, j), bind)
		}
	}
}

// settleTLS decides the mode where there is a certificate and the file says none. Who asks for clients' certificates wants no plain text.
func (d *decoder) settleTLS(path string, t *FrontendTLS, mode string) {
	named := func(file string) bool { return file == "" }
	t.Cert, t.Key = slices.DeleteFunc(t.Cert, named), slices.DeleteFunc(t.Key, named)
	if len(t.Cert) == 0 {
		t.Cert = nil
	}
	if len(t.Key) == 0 {
		t.Key = nil
	}
	switch {
	case len(t.Cert) == 0 || d.at[path+".mode"] != nil:
	case t.ClientCA != "":
		t.Mode = "required"
	default:
		t.Mode = mode
	}
}

// settleLearning decides whether members are learned from members where the file does not say: one member, or none that is named, is
// where to begin; a list of several, or a name in DNS, is the operator's word on who serves, and who is left out is left out on purpose.
func (d *decoder) settleLearning() {
	if c := &d.config.Cluster; d.at["cluster.discover.cluster"] == nil {
		c.Discover.Cluster = len(c.Members) <= 1 && !c.Discover.On()
	}
}

// fillBind fills in a bind that is a template.
func (d *decoder) fillBind(path, bind string) string {
	if !strings.Contains(bind, "{{") {
		return bind
	}
	filled, err := d.world.template(bind)
	n := d.at[path]
	switch {
	case err != nil && strings.Contains(n.text, "${"):
		d.fault(n, path, "the template cannot be filled in (found what the variable says)")
	case err != nil:
		d.fault(n, path, "the template cannot be filled in: %v", err)
	case strings.HasPrefix(filled, ":"):
		d.fault(n, path, "the template finds no address on this machine")
	case strings.ContainsAny(strings.TrimSpace(filled), " \t\n"):
		d.fault(n, path, "the template finds several addresses; write one bind for each")
	}
	return strings.TrimSpace(filled)
}
