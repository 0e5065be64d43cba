// Package bench is the load and the measuring of `weir bench`: simulated devices and dashboards over real
// WebSockets against a server process of its own, on the same machine.
//
// Terms (see docs/benchmarks.md): a delivery is one series row received by one dashboard; end-to-end
// latency is from the moment a reading was due at the device to the moment a dashboard has read the frame
// that holds it, for the newest reading in a row; cores are user and system time of the server process
// over wall time.
package bench
