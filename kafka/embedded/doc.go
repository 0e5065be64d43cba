// Package embedded is a Kafka broker inside the process: franz-go's kfake on a locked data directory, reached
// by [Broker.Dial] through memory. No port or socket is opened.
//
// # What is kept
//
// Every acknowledged record, committed group offset and producer epoch survives Close and kill -9, in order
// and exactly once; a retry of a batch over a restart is recognised; offsets (a log's end and its start)
// never decrease, also while logs are trimmed or bounded by copy-forward, and after any idle time. An
// acknowledgement means that the data is in the operating system's page cache. It becomes durable within
// [Config.SyncPeriod], so a power cut or a crash of the kernel may take what was acknowledged in about the
// last second, from different files independently. Close makes everything durable.
//
// [Open] refuses a directory whose logs end before an offset that it knows was given out ([ErrDataLost]).
// If a write fails (disk full), the broker stops before it can answer: see [Broker.Failed].
//
// # What bounds it
//
// Disk: [Retention] and [Broker.SetFloor] for topics that are read once, copy-forward with
// [Broker.DeleteRecords] for those that hold a table. Space is given back by whole segments of
// [Config.SegmentBytes], and the newest segment stays, so a partition may take that much more.
// Memory: about 80 bytes for every record batch kept, whatever its size; data stays on disk. While it opens
// after a crash, one segment at a time for each partition.
//
// # Around kfake
//
// kfake is made for tests. These are its gaps and what is done about them:
//
//   - Its compaction and retention delete segments before they write the replacement, and block it for
//     seconds: the ticker that runs them is set to a hundred years.
//   - A log without a record begins at 0 after a restart: the last batch is never trimmed.
//   - Where a trimmed log begins is only written at an orderly end: a journal keeps it (journal.go).
//   - So are producers' sequences, and an outdated list is read after a crash: it is rebuilt from the logs
//     (sequences.go). Loading after a crash holds all data in memory at once: what makes it load segment by
//     segment is rebuilt as well (recover.go).
//   - A torn entry at the end of its logs of groups and producers hides all that is appended behind it: it
//     is cut off (files.go).
//   - A batch it could not write counts as written when it is sent again, and failures to store offsets and
//     epochs are only logged: the first such message ends the broker (logger.go).
//   - It lets a fenced producer raise its epoch and so fence the owner: refused here (fencing.go).
//   - It revives the members of consumer groups of the process that ended: forgotten at start (recover.go).
//   - Idle groups and transactional ids expire after seven days: set to the longest it knows, thousands of
//     years for groups, 24 days without a new epoch for transactional ids.
//
// kfake handles all requests in one goroutine, which also reads and writes the files.
package embedded
