// What a viewer of the soak has been told, and what was wrong with it. The n-th reading of a device's "count" has the value n, so
// a row of (known, last] has n = last − known readings, from known + 1 to last: anything lost, told twice or out of order is
// seen at once, whatever the client thinks of its versions.

/** A SeriesSink that checks rows; alerts and messages of rooms are handed to it, too. */
export class Ledger {
  /** The first thing that was wrong. */
  fault = "";
  known = new Map();
  versions = new Map();
  /** Times by transition: "version id series". */
  heard = new Map();
  newest = new Map();
  /** Messages by room, in the order they came. */
  said = new Map();

  wrong(fault) {
    this.fault ||= fault;
  }

  /** The chain begins anew. */
  begin() {
    this.known.clear();
    this.versions.clear();
    this.heard.clear();
    this.newest.clear();
  }

  open({ series }) {
    return series;
  }

  accept(series, { since, version, n, min, max, sum, last }) {
    const before = this.versions.get(series);
    this.versions.set(series, version);
    if (before !== undefined && since !== before)
      this.wrong(`${series}: row (${since}, ${version}] after ${before}`);
    if (!series.endsWith("/count")) return;
    const known = this.known.get(series) ?? 0;
    this.known.set(series, last);
    if (before === undefined) return;
    const total = (last * (last + 1) - known * (known + 1)) / 2;
    if (n !== last - known || min !== known + 1 || max !== last || Math.abs(sum - total) > 1e-9 * total)
      this.wrong(`${series}: after ${known} came n ${n}, min ${min}, max ${max}, last ${last}, sum ${sum}`);
  }

  alert({ id, series, version }) {
    const at = this.newest.get(id) ?? -1;
    if (version <= at) this.wrong(`alert ${id}: version ${version} after ${at}`);
    this.newest.set(id, version);
    const key = `${version} ${id} ${series}`;
    this.heard.set(key, (this.heard.get(key) ?? 0) + 1);
  }

  message({ room, id, version, payload }) {
    this.said.get(room).push({ id, version, n: payload.n });
  }

  told() {
    const { fault, known, versions, heard, said } = this;
    const [k, v, h, s] = [known, versions, heard, said].map((map) => Object.fromEntries(map));
    return { fault, known: k, versions: v, heard: h, said: s };
  }
}
