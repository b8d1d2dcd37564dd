package dialect

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// clause is one way to match a rule: a domain, and the beginning of a path.
// Either may be empty, which matches all.
type clause struct{ host, path string }

// NPM takes no more domains for a host.
const maxClauses = 100

// traefikRule reads a rule into clauses any of which matches. The hosts are all
// that the rule mentions, also where it cannot be read. A rule is an expression
// of Go: Traefik (pkg/rules/parser.go) reads it with the same parser.
func traefikRule(rule string) (clauses []clause, hosts []string, err error) {
	if len(rule) > 8192 {
		return nil, nil, fmt.Errorf("it is too long")
	}
	expr, err := parser.ParseExpr(rule)
	if err != nil {
		return nil, nil, fmt.Errorf("it is no rule of Traefik's")
	}
	ast.Inspect(expr, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && matcherName(call) == "host" {
			args, _ := matcherArgs(call)
			hosts = append(hosts, args...)
		}
		return true
	})
	clauses, err = clausesOf(expr)
	for i, c := range clauses {
		if c.host == "" && err == nil {
			err = fmt.Errorf("it names no domain")
		}
		clauses[i].host = strings.ToLower(c.host)
	}
	return clauses, hosts, err
}

func clausesOf(expr ast.Expr) ([]clause, error) {
	switch e := expr.(type) {
	case *ast.ParenExpr:
		return clausesOf(e.X)
	case *ast.CallExpr:
		return matcher(e)
	case *ast.BinaryExpr:
		left, err := clausesOf(e.X)
		if err != nil {
			return nil, err
		}
		right, err := clausesOf(e.Y)
		if err != nil {
			return nil, err
		}
		var both []clause
		switch e.Op {
		case token.LOR:
			both = slices.Concat(left, right)
		case token.LAND:
			both = product(left, right)
		default:
			return nil, fmt.Errorf("it is no rule of Traefik's")
		}
		if len(both) > maxClauses {
			return nil, fmt.Errorf("it has too many cases")
		}
		return both, nil
	case *ast.UnaryExpr:
		return nil, fmt.Errorf("NPM has no \"not\"")
	}
	return nil, fmt.Errorf("it is no rule of Traefik's")
}

// product are the clauses that match both; those that never do are left out.
func product(left, right []clause) []clause {
	var both []clause
	for _, l := range left {
		for _, r := range right {
			c := clause{host: l.host + r.host, path: l.path}
			if l.host != "" && r.host != "" {
				if !strings.EqualFold(l.host, r.host) {
					continue
				}
				c.host = l.host
			}
			switch {
			case strings.HasPrefix(r.path, l.path):
				c.path = r.path
			case !strings.HasPrefix(l.path, r.path):
				continue
			}
			both = append(both, c)
		}
	}
	return both
}

func matcherName(call *ast.CallExpr) string {
	if name, ok := call.Fun.(*ast.Ident); ok {
		name := strings.ToLower(name.Name)
		if name == "hostheader" { // v2's other word for it
			return "host"
		}
		return name
	}
	return ""
}

func matcherArgs(call *ast.CallExpr) ([]string, bool) {
	var args []string
	for _, arg := range call.Args {
		literal, ok := arg.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return args, false
		}
		v, err := strconv.Unquote(literal.Value)
		if err != nil || v == "" {
			return args, false
		}
		args = append(args, v)
	}
	return args, len(args) > 0
}

// matcher reads one matcher; version 2 takes several values, version 3 one.
func matcher(call *ast.CallExpr) ([]clause, error) {
	name := matcherName(call)
	if !slices.Contains([]string{"host", "pathprefix"}, name) {
		return nil, fmt.Errorf("NPM does not match by %s", quote(name))
	}
	args, ok := matcherArgs(call)
	if !ok || len(args) > maxClauses {
		return nil, fmt.Errorf("it is no rule of Traefik's")
	}
	var list []clause
	for _, arg := range args {
		switch {
		case name == "host":
			list = append(list, clause{host: arg})
		case arg == "/":
			list = append(list, clause{})
		case locationPath(arg):
			list = append(list, clause{path: arg})
		default:
			return nil, fmt.Errorf("its path is no plain one")
		}
	}
	return list, nil
}
