package commands

import "weir/wire"

// Record is what a part of Weir that has no Hub writes to weir.messages for a command, which it answers for; its key is the
// device, from which the partition follows. A refusal names a path in {"id","name","args"}. Whether there is room for the
// command among those that wait is known to Hubs only: one for which there is none is left out there, and counted.
func Record(c *Command) (value []byte, refusal *wire.Error) {
	if refusal := checkID(c.ID); refusal != nil {
		return nil, refusal
	}
	if refusal := checkName(c.Name); refusal != nil {
		return nil, refusal
	}
	if refusal := checkArgs(c.Args); refusal != nil {
		return nil, refusal
	}
	value, err := recordOf(c).encode()
	if err != nil {
		return nil, wire.NewError(wire.CodeFieldType, "args")
	}
	return value, nil
}
