package configs

// This file owns bind templates: {{ GetPrivateIP }}:7687 and the rest of go-sockaddr's template language.

import (
	"fmt"
	"reflect"
	"strings"
	template "text/template/parse"

	"github.com/hashicorp/go-sockaddr"
)

// templateFuncs are the functions of github.com/hashicorp/go-sockaddr/template, and printf. Its package is not used because it executes with text/template, which finds what it
// calls by name: with that in the program the linker keeps every exported method of everything, 2 MB that a Pi holds in memory.
var templateFuncs = map[string]any{
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
	"printf":               fmt.Sprintf,
}

// fillTemplate fills in a template with the addresses of this machine.
func fillTemplate(text string) (string, error) {
	trees, err := template.Parse("bind", text, "", "", templateFuncs)
	if err != nil {
		return "", err
	}
	addresses, err := sockaddr.GetAllInterfaces()
	if err != nil {
		return "", fmt.Errorf("asking for this machine's addresses: %w", err)
	}
	var b strings.Builder
	for _, node := range trees["bind"].Root.Nodes {
		switch n := node.(type) {
		case *template.TextNode:
			b.Write(n.Text)
		case *template.ActionNode:
			value, err := evaluatePipe(n.Pipe, addresses)
			if err != nil {
				return "", fmt.Errorf("%v: %w", n, err)
			}
			fmt.Fprint(&b, value)
		default:
			return "", notInTemplates(n)
		}
	}
	return b.String(), nil
}

func notInTemplates(n template.Node) error {
	return fmt.Errorf("%v: a template has text and functions here, no variables, fields or conditions", n)
}

// evaluatePipe evaluates a | b | c: what one gives is the last argument of the next. Addresses are what "." is.
func evaluatePipe(pipe *template.PipeNode, addresses sockaddr.IfAddrs) (value any, err error) {
	if len(pipe.Decl) > 0 {
		return nil, notInTemplates(pipe)
	}
	for i, command := range pipe.Cmds {
		var args []any
		for _, arg := range command.Args[1:] {
			v, err := evaluateOperand(arg, addresses)
			if err != nil {
				return nil, err
			}
			args = append(args, v)
		}
		if i > 0 {
			args = append(args, value)
		}
		if name, is := command.Args[0].(*template.IdentifierNode); is {
			value, err = callTemplateFunc(name.Ident, args)
		} else if len(args) == 0 {
			value, err = evaluateOperand(command.Args[0], addresses)
		} else {
			err = fmt.Errorf("%v is no function, so it takes no arguments", command.Args[0])
		}
		if err != nil {
			return nil, err
		}
	}
	return value, nil
}

func evaluateOperand(node template.Node, addresses sockaddr.IfAddrs) (any, error) {
	switch n := node.(type) {
	case *template.StringNode:
		return n.Text, nil
	case *template.NumberNode:
		if n.IsInt {
			return int(n.Int64), nil
		}
	case *template.DotNode:
		return addresses, nil
	case *template.PipeNode:
		return evaluatePipe(n, addresses)
	case *template.IdentifierNode:
		return callTemplateFunc(n.Ident, nil)
	}
	return nil, notInTemplates(node)
}

// callTemplateFunc calls one of templateFuncs, each of which returns a value, or a value and an error.
func callTemplateFunc(name string, args []any) (any, error) {
	f := reflect.ValueOf(templateFuncs[name])
	takes := f.Type()
	if last := takes.NumIn() - 1; len(args) != last+1 && !(takes.IsVariadic() && len(args) >= last) {
		return nil, fmt.Errorf("%s takes %d arguments, not %d", name, last+1, len(args))
	}
	in := make([]reflect.Value, len(args))
	for i, arg := range args {
		want := takes.In(min(i, takes.NumIn()-1))
		if takes.IsVariadic() && i >= takes.NumIn()-1 {
			want = want.Elem()
		}
		if n, is := arg.(int); is && n >= 0 && want.Kind() == reflect.Uint {
			arg = uint(n)
		}
		in[i] = reflect.ValueOf(arg)
		if !in[i].IsValid() || !in[i].Type().AssignableTo(want) {
			return nil, fmt.Errorf("%s: argument %d is %v, and has to be of type %v", name, i+1, arg, want)
		}
	}
	out := f.Call(in)
	if len(out) == 2 && !out[1].IsNil() {
		return nil, fmt.Errorf("%s: %w", name, out[1].Interface().(error))
	}
	return out[0].Interface(), nil
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
