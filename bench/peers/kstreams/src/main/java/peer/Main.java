package peer;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Locale;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * weir.readings (records of many readings of one device) → filter by range → moving average and z-score, with the last
 * 60 values of each series in an in-memory state store behind the record cache → updates.
 *
 * <p>A series' state is read from the store and put back once for each record, not for each reading. The first
 * argument says what is written: {@code reading}, a record for each reading; {@code batch}, a record for each record
 * with a row for each reading; {@code last}, a record for each record with one row per series, of its last reading.
 */
public final class Main {
    private static final String STORE = "rings";

    private enum Output { READING, BATCH, LAST }

    /** Filter, average, score and encode in one processor: the fewest hops that Kafka Streams can make of it. */
    private static final class Score implements FixedKeyProcessor<String, byte[], byte[]> {
        private static final double LOWEST = -50;
        private static final double HIGHEST = 150;
        private static final int ROW = 4 * 8 + 1;

        private final Output output;
        private final Readings in = new Readings();
        private FixedKeyProcessorContext<String, byte[]> context;
        private KeyValueStore<String, Ring> store;
        private Ring[] rings = new Ring[16];
        private double[] means = new double[128];
        private double[] scores = new double[128];

        Score(Output output) {
            this.output = output;
        }

        @Override
        public void init(FixedKeyProcessorContext<String, byte[]> c) {
            context = c;
            store = c.getStateStore(STORE);
        }

        @Override
        public void process(FixedKeyRecord<String, byte[]> record) {
            if (!in.decode(record.value())) {
                return;
            }
            load(record.key());
            for (int i = 0; i < in.n; i++) {
                double x = in.value[i];
                if (!(x >= LOWEST && x <= HIGHEST)) {
                    means[i] = Double.NaN;
                    continue;
                }
                Ring ring = rings[in.metric[i]];
                scores[i] = ring.z(x);
                means[i] = ring.add(x);
                if (output == Output.READING) {
                    ByteBuffer b = begin(1);
                    row(b, i);
                    context.forward(record.withValue(done(b)));
                }
            }
            for (int m = 0; m < in.metrics; m++) {
                store.put(key(record.key(), m), rings[m]);
            }
            if (output != Output.READING) {
                context.forward(record.withValue(output == Output.BATCH ? all() : last()));
            }
        }

        private void load(String device) {
            if (rings.length < in.metrics) {
                rings = new Ring[2 * in.metrics];
            }
            for (int m = 0; m < in.metrics; m++) {
                Ring ring = store.get(key(device, m));
                rings[m] = ring == null ? new Ring() : ring;
            }
            if (means.length < in.n) {
                means = new double[2 * in.n];
                scores = new double[2 * in.n];
            }
        }

        private String key(String device, int metric) {
            return device + "/" + in.name(metric);
        }

        private byte[] all() {
            ByteBuffer b = begin(in.n);
            for (int i = 0; i < in.n; i++) {
                row(b, i);
            }
            return done(b);
        }

        private byte[] last() {
            ByteBuffer b = begin(in.metrics);
            long seen = 0;
            for (int i = in.n - 1; i >= 0; i--) {
                long bit = 1L << in.metric[i];
                if ((seen & bit) == 0) {
                    seen |= bit;
                    row(b, i);
                }
            }
            return done(b);
        }

        /** The device is the record's key; the metrics' names come once, then the rows refer to them. */
        private ByteBuffer begin(int rows) {
            int size = 2;
            for (int m = 0; m < in.metrics; m++) {
                size += 1 + in.nameBytes(m).length;
            }
            ByteBuffer b = ByteBuffer.allocate(size + rows * ROW);
            b.putShort((short) in.metrics);
            for (int m = 0; m < in.metrics; m++) {
                b.put((byte) in.nameBytes(m).length).put(in.nameBytes(m));
            }
            return b;
        }

        private void row(ByteBuffer b, int i) {
            if (!Double.isNaN(means[i])) {
                b.put((byte) in.metric[i]).putLong(in.time[i]).putDouble(in.value[i]).putDouble(means[i]).putDouble(scores[i]);
            }
        }

        private static byte[] done(ByteBuffer b) {
            if (b.remaining() == 0) {
                return b.array();
            }
            byte[] out = new byte[b.position()];
            b.flip().get(out);
            return out;
        }
    }

    public static void main(String[] args) throws Exception {
        Output output = Output.valueOf(args[0].toUpperCase(Locale.ROOT));
        String broker = args[1];
        String to = args[2];
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-" + to);
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, broker);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[3]);
        p.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, args[5]);

        StreamsBuilder b = new StreamsBuilder();
        b.addStateStore(Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), Serdes.String(), Ring.SERDE).withCachingEnabled());
        b.stream("weir.readings", Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .processValues(() -> new Score(output), STORE)
            .to(to, Produced.with(Serdes.String(), Serdes.ByteArray()));
        KafkaStreams streams = new KafkaStreams(b.build(), p);
        streams.setStateListener((now, before) -> System.err.println("state " + now));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
        streams.start();
        Thread.currentThread().join();
    }

    private Main() { }
}
