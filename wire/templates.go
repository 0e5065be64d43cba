package wire

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A template is text with variables in braces:
//
//	{a|b|'text'}   the first of these that has a value; a text has it always. None: the template does not fit
//	{.a|b}         the same with . before it; none: nothing. _ - : / instead of . likewise
//	{.tags!x!y}    each tag but x and y, and those that the templates use by name
type template struct{ parts []templatePart }

// templatePart is a text, or a choice of variables.
type templatePart struct {
	text   string
	choice []variable
	// before is put before a value; a part that has it may be without.
	before string
	// except names tags that {tags} leaves out.
	except []string
}

// variable is something that a template may use.
type variable struct {
	kind variableKind
	// name is that of a tag, or a text.
	name string
	// from is a segment of the topic, counted from 1, or from -1 backwards; rest: with all that follow it.
	from int
	rest bool
}

type variableKind uint8

// variableSet has a bit for each kind.
type variableSet uint32

const (
	varText variableKind = iota
	varDevice
	varTenant
	varTopic
	varTopicSegment
	varMeasurement
	varField
	varTag
	varTags
	varName
	varBase
	varN

	everywhere variableSet = 1<<varText | 1<<varDevice | 1<<varTenant | 1<<varTopic | 1<<varTopicSegment
)

var variableKinds = map[string]variableKind{
	"device": varDevice, "tenant": varTenant, "topic": varTopic, "measurement": varMeasurement,
	"field": varField, "tags": varTags, "name": varName, "base": varBase, "n": varN,
}

// Bounds of a template.
const (
	maxTemplateBytes = 1024
	separators       = "._-:/"
)

func parseTemplate(text string, allowed variableSet) (t template, err error) {
	if len(text) > maxTemplateBytes {
		return t, fmt.Errorf("longer than %d bytes", maxTemplateBytes)
	}
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return t, errors.New("} without {")
		}
		if literal != "" {
			t.parts = append(t.parts, templatePart{text: literal})
		}
		if !found {
			break
		}
		inner, after, closed := strings.Cut(rest, "}")
		if !closed {
			return t, errors.New("{ without }")
		}
		part, err := parseChoice(inner, allowed)
		if err != nil {
			return t, err
		}
		t.parts = append(t.parts, part)
		text = after
	}
	return t, nil
}

// parseChoice reads what is between braces.
func parseChoice(inner string, allowed variableSet) (p templatePart, err error) {
	text := inner
	if text != "" && strings.Contains(separators, text[:1]) {
		p.before, text = text[:1], text[1:]
	}
	for name := range strings.SplitSeq(text, "|") {
		name, except, _ := strings.Cut(name, "!")
		v, ok := parseVariable(name)
		if !ok || allowed&(1<<v.kind) == 0 || except != "" && v.kind != varTags {
			return p, fmt.Errorf("{%s}: %q cannot be used here", inner, name)
		}
		if except != "" {
			p.except = append(p.except, strings.Split(except, "!")...)
		}
		p.choice = append(p.choice, v)
	}
	return p, nil
}

func parseVariable(name string) (v variable, ok bool) {
	if n := len(name); n >= 2 && name[0] == '\'' && name[n-1] == '\'' {
		return variable{kind: varText, name: name[1 : n-1]}, true
	}
	if tag, is := strings.CutPrefix(name, "tag."); is {
		return variable{kind: varTag, name: tag}, tag != ""
	}
	if segment, is := strings.CutPrefix(name, "topic."); is {
		number, rest := strings.CutSuffix(segment, "-")
		from, err := strconv.Atoi(number)
		return variable{kind: varTopicSegment, from: from, rest: rest}, err == nil && from != 0
	}
	kind, ok := variableKinds[name]
	return variable{kind: kind}, ok
}

// leaveOutNamed lets {tags} leave out the tags that the template uses by name.
func (t *template) leaveOutNamed() {
	var named []string
	for _, p := range t.parts {
		for _, v := range p.choice {
			if v.kind == varTag {
				named = append(named, v.name)
			}
		}
	}
	for i := range t.parts {
		if p := &t.parts[i]; slices.ContainsFunc(p.choice, func(v variable) bool { return v.kind == varTags }) {
			p.except = append(p.except, named...)
		}
	}
}
