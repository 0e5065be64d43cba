// Package e2e holds the tests of the whole path with real processes: the server's binary, a real Apache
// Kafka, devices and dashboards on real WebSockets. `make test-kafka` runs them; the dashboard's browser test
// (`make test-browser`) lives here too, and so do the stock clients that run as devices (`make test-clients`).
package e2e
