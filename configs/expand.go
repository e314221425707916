package configs

// This file owns variables in values: ${NAME}, ${NAME:-default}, and $${ for the two characters themselves.

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand puts the variables into text. What a variable says is taken as it is, not expanded again. A default stands in for a variable that
// is not set or empty, as in a shell; it ends at the first }. Errors name the variable and never a value.
func expand(text string, env func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		b.WriteString(text[:i])
		if strings.HasSuffix(text[:i], "$") { // $${ has one $ too many already
			b.WriteString("{")
			text = text[i+2:]
			continue
		}
		inside, rest, found := strings.Cut(text[i+2:], "}")
		if !found {
			return "", errors.New("${ without its }; write $${ for the two characters themselves")
		}
		value, err := lookUp(inside, env)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = rest
	}
}

func lookUp(inside string, env func(string) (string, bool)) (string, error) {
	name, fallback, hasDefault := strings.Cut(inside, ":-")
	if !variableName.MatchString(name) {
		return "", errors.New("not the name of a variable between ${ and }; write $${ for the two characters themselves")
	}
	value, isSet := env(name)
	switch {
	case hasDefault && (!isSet || value == ""):
		return fallback, nil
	case !isSet:
		return "", fmt.Errorf("the variable %s is not set; ${%s:-value} gives a default", name, name)
	}
	return value, nil
}
