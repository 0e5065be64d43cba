package wire

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestSenMLReadsTheExamplesOfTheRFC(t *testing.T) {
	for frame, want := range map[string]string{
		`[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]`:                                                "urn:dev:ow:10e2073a01080063 Cel 23.1@0",
		`[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]`: "urn:dev:ow:10e2073a01080063 voltage 120.1@0; urn:dev:ow:10e2073a01080063 current 1.2@0",
		`[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
		  {"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3}]`: "urn:dev:ow:10e2073a0108006 voltage 120.1@-483979923999000; urn:dev:ow:10e2073a0108006 current 1.2@-483979928999000; urn:dev:ow:10e2073a0108006 current 1.3@-483979927999000",
		`[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},{"u":"lon","v":24.30621},{"t":60,"v":20.3}]`:                             "urn:dev:ow:10e2073a01080063 %RH 20@-439932536000000; urn:dev:ow:10e2073a01080063 lon 24.30621@-439932536000000; urn:dev:ow:10e2073a01080063 %RH 20.3@-439932476000000",
		`[{"bn":"2001:db8::2","bt":1.320078429e+09,"n":"/temperature","u":"Cel","v":25.2},{"n":"/humidity","u":"%RH","v":30}]`:                                 "2001:db8::2 temperature 25.2@-439921571000000; 2001:db8::2 humidity 30@-439921571000000",
		`[{"n":"urn:dev:ow:10e2073a01080063:label","vs":"Machine Room"},{"n":"urn:dev:ow:10e2073a01080063:open","vb":false},{"n":"nfc-reader","vd":"aGkgCg"}]`: "!value_type [0].vs; urn:dev:ow:10e2073a01080063 open 0@0; !device_missing [2].n",
	} {
		if got := decodeAs(t, FormatSenMLJSON, testOptions(), frame); got != want {
			t.Errorf("%s:\n got %s\nwant %s", frame, got, want)
		}
	}
}

func TestSenMLSpeaksOfEachRecord(t *testing.T) {
	for frame, want := range map[string]string{
		`[]`: "", `[{}]`: "", `[{"bn":"a:"}]`: "",
		`[{"bn":"a:","n":"v","v":1,"t":-10}]`:                                                 "a v 1@-10000000",
		`[{"bn":"a:","n":"v","v":1,"t":599}]`:                                                 "a v 1@599000000",
		`[{"bn":"a:","n":"v","v":1,"t":601}]`:                                                 "!ts_future [0].t",
		`[{"bn":"a:","n":"v","v":1,"t":268435456}]`:                                           "a v 1@-1491564544000000",
		`[{"bn":"a:","n":"v","v":1,"t":1e300}]`:                                               "!ts_invalid [0].t",
		`[{"bn":"a:","n":"v","v":1,"t":"x"}]`:                                                 "!ts_type [0].t",
		`[{"bn":"a:","bv":10,"bs":5,"n":"v","v":1,"s":2},{"n":"v","s":3},{"n":"v"}]`:          "a v 11@0; a v_sum 7@0; a v 10@0; a v_sum 8@0; a v 10@0; a v_sum 5@0",
		`[{"bn":"a:","bs":5,"n":"e"},{"n":"e","v":1},{"bt":7}]`:                               "a e_sum 5@0; a e 1@0; a e_sum 5@0",
		`[{"bn":"a:","n":"e","s":1},{"n":"e","v":1},{"n":"e"}]`:                               "a e_sum 1@0; a e 1@0; !value_missing [2].v",
		`[{"bver":5,"bn":"a:","n":"v","v":1},{"bver":5,"n":"v","v":1},{"n":"v","v":2}]`:       "a v 1@0; a v 1@0; a v 2@0",
		`[{"bver":5,"bn":"a:","n":"v","v":1},{"bver":10,"n":"v","v":1}]`:                      "error format_syntax [1].bver",
		`[{"bn":"a:","n":"v"},{"n":"v","v":true},{"n":"v","v":1,"vb":true},{"n":"v","vb":1}]`: "!value_missing [0].v; !value_type [1].v; !value_type [2].v; !value_type [3].vb",
		`[{"bn":"a:","n":"v","v":NaN},{"n":"v","v":9007199254740993},{"n":"v","s":"x"}]`:      "!value_not_finite [0].v; !value_integer_unsafe [1].v; !value_type [2].s",
		`[{"bn":"a:","n":"v","v":1,"x":[1],"y":{"z":2}}]`:                                     "a v 1@0",
		`[{"bn":"a:","n":"v","v":1},{"n":"v","v":1,"x_":1}]`:                                  "error format_syntax [1].x_",
		`[{"bn":"a:","n":"v","v":1,"v":2}]`:                                                   "error format_syntax [0].v",
		`[{"bver":11,"n":"a/b","v":1}]`:                                                       "error format_syntax [0].bver",
		`[{"bn":5,"n":"v","v":1}]`:                                                            "error format_syntax [0].bn",
		`[{"bt":"x","n":"v","v":1}]`:                                                          "error format_syntax [0].bt",
		`[{"bv":1e999,"n":"v","v":1}]`:                                                        "error format_syntax [0].bv",
		`[{"n":5,"v":1},7]`:                                                                   "!metric_type [0].n; !reading_type [1]",
		`[{"v":1}]`:                                                                           "!metric_missing [0].n",
		`{"n":"a/b","v":1}`:                                                                   "error format_syntax",
		``:                                                                                    "error frame_empty",
		`[{"n":"a/b","v":1}`:                                                                  "error json_syntax [1]",
		`[{"n":"a/b","v":1},{"v":1`:                                                           "error json_syntax [1]",
		`[{"n":"plant1/press7/temp","v":1}]`:                                                  "plant1/press7 temp 1@0",
		`[{"n":"temp","v":1}]`:                                                                "!device_missing [0].n",
		`[{"bn":"plant1/press","n":"7/temp","v":1}]`:                                          "plant1/press7 temp 1@0",
		`[{"bn":"urn:dev:mac:1","n":"temp","v":1}]`:                                           "urn:dev:mac:1 temp 1@0",
		`[{"bn":"a/b/","n":"3303/0/5700","v":1}]`:                                             "a/b 3303-0-5700 1@0",
	} {
		if got := decodeAs(t, FormatSenMLJSON, testOptions(), frame); got != want {
			t.Errorf("%s:\n got %s\nwant %s", frame, got, want)
		}
	}
}

func TestSenMLOfADeviceThatIsKnown(t *testing.T) {
	opts := testOptions()
	opts.DefaultDevice = "plant1/press7"
	for frame, want := range map[string]string{
		`[{"bn":"urn:dev:mac:1:","n":"temp","v":1}]`:                              "plant1/press7 temp 1@0",
		`[{"n":"temp","v":1}]`:                                                    "plant1/press7 temp 1@0",
		`[{"n":"a/temp","v":1},{"n":"b/temp","v":1}]`:                             "plant1/press7 a-temp 1@0; plant1/press7 b-temp 1@0",
		`[{"bn":"/3303/0/","n":"5700","v":1},{"bn":"/3304/0/","n":"5700","v":1}]`: "plant1/press7 3303-0-5700 1@0; plant1/press7 3304-0-5700 1@0",
		`[{"n":"urn:dev:ow:1","v":1,"u":"m/s"}]`:                                  "plant1/press7 urn:dev:ow:1 1@0",
		`[{"bn":"urn:dev:ow:1","v":1,"u":"m/s"}]`:                                 "plant1/press7 m-s 1@0",
	} {
		if got := decodeAs(t, FormatSenMLJSON, opts, frame); got != want {
			t.Errorf("%s:\n got %s\nwant %s", frame, got, want)
		}
	}
}

func TestSenMLReadsCBOR(t *testing.T) {
	for encoded, want := range map[string]string{
		// The example of RFC 8428, 6.
		`87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c7461676501615602fb405e066666666666
		 a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666
		 a3006763757272656e74062102f93e00a3006763757272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333`: "urn:dev:ow:10e2073a0108006 voltage 120.1@-483979923999000; " +
			"urn:dev:ow:10e2073a0108006 current 1.2@-483979928999000; urn:dev:ow:10e2073a0108006 current 1.3@-483979927999000; " +
			"urn:dev:ow:10e2073a0108006 current 1.4@-483979926999000; urn:dev:ow:10e2073a0108006 current 1.5@-483979925999000; " +
			"urn:dev:ow:10e2073a0108006 current 1.6@-483979924999000; urn:dev:ow:10e2073a0108006 current 1.7@-483979923999000",
		`80`: "", `9fff`: "",
		`81a2 00 63612f62 02 05`:                 "a b 5@0",
		`9fbf 00 63612f62 02 05 ffff`:            "a b 5@0",
		`81a2 00 63612f62 02 c4822118f5`:         "a b 2.45@0",
		`81a2 00 63612f62 04 f5`:                 "a b 1@0",
		`81a2 616e 63612f62 6176 20`:             "a b -1@0",
		`81a2 00 63612f62 02 1b0020000000000001`: "!value_integer_unsafe [0].v",
		`81a2 00 63612f62 02 3bffffffffffffffff`: "!value_integer_unsafe [0].v",
		`81a2 00 63612f62 02 f97e00`:             "!value_not_finite [0].v",
		`81a2 00 63612f62 08 4101`:               "!value_type [0].vd",
		`81a2 00 63612f62 03 6178`:               "!value_type [0].vs",
		`81a2 00 63612f62 02 6178`:               "!value_type [0].v",
		`81a2 00 63612f62 02 c24101`:             "!value_type [0].v",
		`82 05 a2 00 63612f62 02 05`:             "!reading_type [0]; a b 5@0",
		`81a3 00 63612f62 02 05 02 06`:           "error format_syntax [0].v",
		`81a3 00 63612f62 02 05 62785f 06`:       "error format_syntax [0].x_",
		`81a3 00 63612f62 02 05 6178 06`:         "a b 5@0",
		`81a3 00 63612f62 02 05 18ff 9f01ff`:     "a b 5@0",
		`81a3 00 63612f62 02 05 f4 06`:           "error format_syntax [0]",
		`81a2 00 7f61612f62ff 02 05`:             "error format_syntax",
		`81a2 00 61ff 02 05`:                     "!metric_type [0].n",
		`a2 00 63612f62 02 05`:                   "error format_syntax",
		`81a2 00 63612f62 02`:                    "error format_syntax",
		`8080`:                                   "error format_syntax",
		`9bffffffffffffffff`:                     "error format_syntax",
		``:                                       "error frame_empty",
		strings.Repeat("81", 20) + "80":          "error format_syntax",
	} {
		frame, err := hex.DecodeString(strings.Join(strings.Fields(encoded), ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := decodeAs(t, FormatSenMLCBOR, testOptions(), string(frame)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", encoded, got, want)
		}
	}
}
