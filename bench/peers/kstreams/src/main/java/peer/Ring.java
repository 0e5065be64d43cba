package peer;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** The last 60 values of a series, with their sum and their sum of squares. */
final class Ring {
    static final int SIZE = 60;
    private static final int WARM = 10;

    private int n;
    private int at;
    private double sum;
    private double squares;
    private final double[] values = new double[SIZE];

    /** How many standard deviations x lies off the mean of the values before it. */
    double z(double x) {
        if (n < WARM) {
            return 0;
        }
        double mean = sum / n;
        return (x - mean) / Math.sqrt(Math.max(squares / n - mean * mean, 1e-9));
    }

    /** Adds a value and returns the moving average. */
    double add(double x) {
        if (n == SIZE) {
            sum -= values[at];
            squares -= values[at] * values[at];
        } else {
            n++;
        }
        values[at] = x;
        at = at + 1 == SIZE ? 0 : at + 1;
        sum += x;
        squares += x * x;
        return sum / n;
    }

    private byte[] bytes() {
        ByteBuffer b = ByteBuffer.allocate(24 + 8 * n);
        b.putInt(n).putInt(at).putDouble(sum).putDouble(squares);
        for (int i = 0; i < n; i++) {
            b.putDouble(values[i]);
        }
        return b.array();
    }

    private static Ring of(byte[] bytes) {
        ByteBuffer b = ByteBuffer.wrap(bytes);
        Ring r = new Ring();
        r.n = b.getInt();
        r.at = b.getInt();
        r.sum = b.getDouble();
        r.squares = b.getDouble();
        for (int i = 0; i < r.n; i++) {
            r.values[i] = b.getDouble();
        }
        return r;
    }

    static final Serde<Ring> SERDE = Serdes.serdeFrom(
        (topic, r) -> r == null ? null : r.bytes(),
        (topic, bytes) -> bytes == null ? null : of(bytes));
}
