// Package archtest holds the import rules of the tree and the test that enforces them. They are the
// layout's meaning: stages meet at a topic and never import one another, formats do not know the broker,
// the broker does not know the domain, and app alone wires.
//
// It also holds the documents to the tree: links, headings, make targets, metrics and packages that they name exist.
package archtest
