package peer;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The columns of a ReadingBatch (wire/proto/weir/v1/records.proto). One object is used for all records, so that
 * decoding allocates next to nothing: the dictionary's names are kept while records bring the same bytes.
 */
final class Readings {
    int n;
    int metrics;
    long ingest;
    int[] metric = new int[128];
    long[] time = new long[128];
    double[] value = new double[128];

    private String[] names = new String[16];
    private byte[][] raw = new byte[16][];

    private byte[] b;
    private int at;

    /** The name of a metric of the dictionary. */
    String name(int i) {
        return names[i];
    }

    byte[] nameBytes(int i) {
        return raw[i];
    }

    /** Reads a record; false if it is none. */
    boolean decode(byte[] record) {
        b = record;
        at = 0;
        n = 0;
        metrics = 0;
        int metricColumn = 0;
        int times = 0;
        ByteBuffer doubles = ByteBuffer.wrap(b).order(ByteOrder.LITTLE_ENDIAN);
        try {
            while (at < b.length) {
                int tag = (int) varint();
                int field = tag >>> 3;
                if ((tag & 7) == 0) {
                    long v = varint();
                    if (field == 4) {
                        ingest = v;
                    }
                    continue;
                }
                if ((tag & 7) != 2) {
                    return false;
                }
                int length = (int) varint();
                int end = at + length;
                switch (field) {
                    case 5 -> dictionary(length);
                    case 6 -> {
                        while (at < end) {
                            metric = room(metric, metricColumn);
                            metric[metricColumn++] = (int) varint();
                        }
                    }
                    case 7 -> {
                        long t = 0;
                        while (at < end) {
                            if (times == time.length) {
                                time = Arrays.copyOf(time, 2 * times);
                            }
                            long z = varint();
                            t += (z >>> 1) ^ -(z & 1);
                            time[times++] = t;
                        }
                    }
                    case 8 -> {
                        n = length / 8;
                        if (n > value.length) {
                            value = new double[2 * n];
                        }
                        for (int i = 0; i < n; i++) {
                            value[i] = doubles.getDouble(at + 8 * i);
                        }
                    }
                    default -> { }
                }
                at = end;
            }
        } catch (IndexOutOfBoundsException e) {
            return false;
        }
        if (metricColumn == 0) { // all are of the first metric
            metric = metric.length < n ? new int[n] : metric;
            Arrays.fill(metric, 0, n, 0);
            metricColumn = n;
        }
        return n > 0 && times == n && metricColumn == n;
    }

    private static int[] room(int[] column, int n) {
        return n < column.length ? column : Arrays.copyOf(column, 2 * n);
    }

    private void dictionary(int length) {
        if (metrics == raw.length) {
            raw = Arrays.copyOf(raw, 2 * metrics);
            names = Arrays.copyOf(names, 2 * metrics);
        }
        byte[] known = raw[metrics];
        if (known == null || !Arrays.equals(known, 0, known.length, b, at, at + length)) {
            raw[metrics] = Arrays.copyOfRange(b, at, at + length);
            names[metrics] = new String(raw[metrics], StandardCharsets.UTF_8);
        }
        metrics++;
    }

    private long varint() {
        long v = 0;
        for (int shift = 0; ; shift += 7) {
            byte x = b[at++];
            v |= (long) (x & 0x7f) << shift;
            if (x >= 0) {
                return v;
            }
        }
    }
}
