package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestARowOfChosenColumnsHasTheCellsOfTheWholeRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := drawUpdates(t)
		if len(us) == 0 {
			t.Skip()
		}
		u := &us[0]
		set, unknown := ParseColumns(rapid.SliceOf(rapid.SampledFrom(columns)).Draw(t, "names"))
		if unknown >= 0 {
			t.Fatalf("name %d is not known", unknown)
		}
		var whole, chosen []json.RawMessage
		if err := json.Unmarshal(AppendRow(nil, 7, u), &whole); err != nil {
			t.Fatal(err)
		}
		text := set.AppendRow([]byte("[[]"), 7, u)[len("[[],"):]
		if err := json.Unmarshal(text, &chosen); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var want []json.RawMessage
		for i := range columns {
			if set.Has(i) {
				want = append(want, whole[i])
			}
		}
		if !reflect.DeepEqual(chosen, want) {
			t.Fatalf("%v: %s, want %s", set.Names(), chosen, want)
		}
	})
}

func TestTheChoiceOfAllColumnsIsThatOfNone(t *testing.T) {
	if set, _ := ParseColumns(Columns()); set != 0 || len(set.Names()) != len(columns) {
		t.Errorf("%b is not 0", set)
	}
	if _, unknown := ParseColumns([]string{"last", "lsat"}); unknown != 1 {
		t.Errorf("the unknown column is %d", unknown)
	}
}

func BenchmarkAppendChosenRow(b *testing.B) {
	u := &flush(1, 20)[0]
	for name, set := range map[string]ColumnSet{"all": 0, "four": ownColumns | 1<<colLast | 1<<colMin | 1<<colMax | 1<<colState} {
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = set.AppendRow(dst[:0], 7, u)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}

func TestCellsOfARowServeReadersThatNumberTheSeriesOtherwise(t *testing.T) {
	u := sampleUpdate(4, 9, 3)
	some, _ := ParseColumns([]string{"max", "score"})
	for _, c := range []ColumnSet{0, some} {
		first := c.AppendRow(nil, 1234, &u)
		second := c.AppendRow(bytes.Clone(first), 7, &u)
		for _, row := range [][]byte{first, second[len(first):]} {
			again := AppendRowOf(bytes.Clone(first), 7, RowCells(row))
			if !bytes.Equal(again, second) {
				t.Errorf("%s after %s, want %s", again, row, second)
			}
		}
	}
}
