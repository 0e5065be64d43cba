package expr

// truth is the value of a condition: yes, no, or dunno when that hangs on an unknown number.
type truth uint8

const (
	no truth = iota
	yes
	dunno
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth {
	switch t {
	case no:
		return yes
	case yes:
		return no
	}
	return dunno
}

// logic is Kleene's: what one side decides is decided, and the order of the sides does not matter.
func logic(op string, l, r truthFunc) truthFunc {
	decided := yes
	if op == "&&" || op == "and" {
		decided = no
	}
	return func(e *Env) truth {
		a := l(e)
		if a == decided {
			return a
		}
		if b := r(e); b == decided || a != dunno {
			return b
		}
		return dunno
	}
}

func sameTruth(l, r truthFunc) truthFunc {
	return func(e *Env) truth {
		a, b := l(e), r(e)
		if a == dunno || b == dunno {
			return dunno
		}
		return truthOf(a == b)
	}
}

func sameText(l, r operand) truthFunc {
	if !l.constant && r.constant {
		i, words := l.slot, r.words
		return func(e *Env) truth { return truthOf(e.Strings[i] == words) }
	}
	f, g := l.text, r.text
	return func(e *Env) truth { return truthOf(f(e) == g(e)) }
}

func chooseTruth(cond, a, b truthFunc) truthFunc {
	return func(e *Env) truth {
		switch cond(e) {
		case yes:
			return a(e)
		case no:
			return b(e)
		}
		return dunno
	}
}

// compare is a comparison of numbers. That of a variable with a constant is what filters mostly are.
func compare(op string, l, r operand) truthFunc {
	if l.slot >= 0 && r.constant {
		return compareConstant(op, l.slot, r.value)
	}
	holds := relation(op)
	f, g := l.number, r.number
	return func(e *Env) truth {
		a, b := f(e), g(e)
		if !finite(a) || !finite(b) {
			return dunno
		}
		return truthOf(holds(a, b))
	}
}

func compareConstant(op string, slot int, k float64) truthFunc {
	switch op {
	case "<":
		return func(e *Env) truth { return known(e.Numbers[slot], e.Numbers[slot] < k) }
	case "<=":
		return func(e *Env) truth { return known(e.Numbers[slot], e.Numbers[slot] <= k) }
	case ">":
		return func(e *Env) truth { return known(e.Numbers[slot], e.Numbers[slot] > k) }
	case ">=":
		return func(e *Env) truth { return known(e.Numbers[slot], e.Numbers[slot] >= k) }
	case "==":
		return func(e *Env) truth { return known(e.Numbers[slot], e.Numbers[slot] == k) }
	}
	return func(e *Env) truth { return known(e.Numbers[slot], e.Numbers[slot] != k) }
}

// known is holds, unless v is unknown.
func known(v float64, holds bool) truth {
	if !finite(v) {
		return dunno
	}
	return truthOf(holds)
}

func relation(op string) func(a, b float64) bool {
	switch op {
	case "<":
		return func(a, b float64) bool { return a < b }
	case "<=":
		return func(a, b float64) bool { return a <= b }
	case ">":
		return func(a, b float64) bool { return a > b }
	case ">=":
		return func(a, b float64) bool { return a >= b }
	case "==":
		return func(a, b float64) bool { return a == b }
	}
	return func(a, b float64) bool { return a != b }
}
