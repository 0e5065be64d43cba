// Package config puts the process's configuration together: defaults, then the file, then the environment,
// then flags, each overriding the one before. It is strict: a key that means nothing, a value of the wrong
// type and a value that cannot work stop the start, each named by its full path, such as
// pipeline.flush_period.
//
// In the environment a key is WEIR_ and the path in capitals with two underscores between its parts:
// WEIR_PIPELINE__FLUSH_PERIOD=20ms. A list is separated by commas.
package config
