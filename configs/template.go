package configs

// This file owns bind templates: {{ GetPrivateIP }}:7687 and the rest of go-sockaddr's template language.

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/hashicorp/go-sockaddr"
)

// templateFuncs are the functions of github.com/hashicorp/go-sockaddr/template. The library is 0.1 MB of the program (text/template is in it anyway). Its package is not used because it brings in another
// module only to wrap errors.
var templateFuncs = template.FuncMap{
	"GetAllInterfaces":     sockaddr.GetAllInterfaces,
	"GetDefaultInterfaces": sockaddr.GetDefaultInterfaces,
	"GetPrivateInterfaces": sockaddr.GetPrivateInterfaces,
	"GetPublicInterfaces":  sockaddr.GetPublicInterfaces,
	"GetPrivateIP":         sockaddr.GetPrivateIP,
	"GetPrivateIPs":        sockaddr.GetPrivateIPs,
	"GetPublicIP":          sockaddr.GetPublicIP,
	"GetPublicIPs":         sockaddr.GetPublicIPs,
	"GetInterfaceIP":       sockaddr.GetInterfaceIP,
	"GetInterfaceIPs":      sockaddr.GetInterfaceIPs,
	"sort":                 sockaddr.SortIfBy,
	"exclude":              sockaddr.ExcludeIfs,
	"include":              sockaddr.IncludeIfs,
	"attr":                 templateAttr,
	"join":                 sockaddr.JoinIfAddrs,
	"limit":                sockaddr.LimitIfAddrs,
	"offset":               sockaddr.OffsetIfAddrs,
	"unique":               sockaddr.UniqueIfAddrsBy,
	"math":                 sockaddr.IfAddrsMath,
}

// fillTemplate fills in a template with the addresses of this machine.
func fillTemplate(text string) (string, error) {
	t, err := template.New("bind").Option("missingkey=error").Funcs(templateFuncs).Parse(text)
	if err != nil {
		return "", err
	}
	addresses, err := sockaddr.GetAllInterfaces()
	if err != nil {
		return "", fmt.Errorf("asking for this machine's addresses: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, addresses); err != nil {
		return "", err
	}
	return b.String(), nil
}

// templateAttr returns an attribute of one address, of the first when there are several.
func templateAttr(name string, of any) (string, error) {
	switch v := of.(type) {
	case sockaddr.IfAddr:
		return sockaddr.IfAttr(name, v)
	case sockaddr.IfAddrs:
		return sockaddr.IfAttrs(name, v)
	default:
		return "", fmt.Errorf("attr takes addresses, not %T", of)
	}
}
