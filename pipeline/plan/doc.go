// Package plan reads pipelines.yaml, which declares what is done with each series.
//
// [Parse] makes a [Plan] of a file, or tells everything that is wrong with it. A Plan is immutable and safe for
// concurrent use, and its answers follow from the text alone: [Plan.Treat] for a series, [Plan.Device] for the
// series that are derived from the metrics of a device, [Plan.Members] for the groups of a series.
//
// # Layers
//
// A series starts with the defaults. The node of every entry that matches is decoded over them, in the order of the
// file; so an entry overrides just what it names. Series with the same entries share a [Treatment], made when the first
// of them is asked for and kept for as long as the plan.
//
// What averages, windows and rates publish are series, too, and must not have averages and windows in their turn. So
// the plan knows such a name ([Device.Outputs]) by taking it apart: it is one when some template of the plan makes it
// of a base that has this output. These series take settings only from patterns that spell out their metric.
//
// # Checks
//
// Most faults are found in an entry by itself. Those of two entries together (an output's name, min above max) are looked
// for among the entries that are right by themselves, where some path matches the patterns of both, within a budget. What
// a file hides beyond that is found when a series meets it: the later setting is left out and told in [Treatment.Faults].
//
// One mistake is told once: what could not be read, or is misspelt, spoils its setting, and no fault is told of what is
// spoilt.
//
// The work for a file is bounded by its size, [MaxEntries], and the bounds of lists: the worst files known take less
// than a second.
package plan
