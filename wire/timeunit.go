package wire

// TimeUnit is the unit of times that are written as numbers.
type TimeUnit uint8

const (
	// UnitAuto: nobody said; the format has its rule.
	UnitAuto TimeUnit = iota
	UnitSeconds
	UnitMillis
	UnitMicros
	UnitNanos
)

// ParseTimeUnit reads s, ms, us or ns, and the names that clients of InfluxDB have for them (u, µs, n). Empty is
// UnitAuto.
func ParseTimeUnit(text string) (TimeUnit, bool) {
	switch text {
	case "":
		return UnitAuto, true
	case "u", "µs", "μs":
		return UnitMicros, true
	case "n":
		return UnitNanos, true
	}
	unit := unitOf([]byte(text))
	return unit, unit != UnitAuto
}

// unitOf is the unit that the field ts_unit names, UnitAuto for anything else.
func unitOf(text []byte) TimeUnit {
	switch string(text) {
	case "s":
		return UnitSeconds
	case "ms":
		return UnitMillis
	case "us":
		return UnitMicros
	case "ns":
		return UnitNanos
	}
	return UnitAuto
}

func (u TimeUnit) String() string {
	return [...]string{"auto", "s", "ms", "us", "ns"}[u]
}

// shift is the power of ten from the unit to microseconds.
func (u TimeUnit) shift() int {
	return [...]int{UnitAuto: 0, UnitSeconds: 6, UnitMillis: 3, UnitMicros: 0, UnitNanos: -3}[u]
}
