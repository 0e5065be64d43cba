// Package kafka carries bytes through Kafka: topics, an idempotent producer, tails, groups with sticky
// partitions, and the fence that keeps a partition's former owner from writing. It knows no domain type.
package kafka
