package wire

import "testing"

func TestInfluxReadsLines(t *testing.T) {
	for frame, want := range map[string]string{
		"weather,host=a temperature=21.5 1760000000000000000": "a weather_temperature 21.5@0",
		"weather,host=a temperature=21.5":                     "a weather_temperature 21.5@0",
		"m,host=a x=1i,y=2u,z=-3i\n":                          "a m_x 1@0; a m_y 2@0; a m_z -3@0",
		"m,host=a a=t,b=T,c=true,d=True,e=TRUE,f=f,g=false":   "a m_a 1@0; a m_b 1@0; a m_c 1@0; a m_d 1@0; a m_e 1@0; a m_f 0@0; a m_g 0@0",
		"m,host=a value=1\r\n\r\n# c\n  \nm,host=a gauge=2 ":  "a m 1@0; a m 2@0",
		`m,host=a s="x \" , = y",v=1`:                         "!value_type line 1.s; a m_v 1@0",
		"m,host=a s=\"x\ny\",v=1\nm,host=a v=NaN":             "!value_type line 1.s; a m_v 1@0; !value_not_finite line 3.v",
		"m,host=a v=1\nrubbish\nm,host=a v=2":                 "a m_v 1@0; !format_syntax line 2; a m_v 2@0",
		"m,host=a v=1,w=x\nm,host=a v=2":                      "!format_syntax line 1; a m_v 2@0",
		"m,host=a a=1,b=2\nm,host=a b=3,a=4\nm,host=a b=5":    "a m_a 1@0; a m_b 2@0; a m_b 3@0; a m_a 4@0; a m_b 5@0",
		"m,host=a s=\"x\ny\",v=\nm,host=a v=1,w=NaN":          "!format_syntax line 1; a m_v 1@0; !value_not_finite line 3.w",
		"m,host=a s=\"x\ny":                                   "error format_syntax line 1",
		"rubbish":                                             "error format_syntax line 1",
		"m,host= v=1":                                         "error format_syntax line 1",
		"m,host=a v=1 12.5":                                   "error format_syntax line 1",
		"m,host=a v=1 x":                                      "error format_syntax line 1",
		"m,host=a v=":                                         "error format_syntax line 1",
		"m,host=a v":                                          "error format_syntax line 1",
		"m,host=a":                                            "error format_syntax line 1",
		"":                                                    "error frame_empty",
		"# nothing":                                           "",
		"m v=1":                                               "!device_missing line 1",
		"m,host=a v=9007199254740993i,w=9007199254740993":     "!value_integer_unsafe line 1.v; a m_w 9.007199254740992e+15@0",
		"m,host=a v=1.5i":                                     "error format_syntax line 1",
		"m,host=a v=-1u":                                      "error format_syntax line 1",
		"m,host=a v=1e999,w=+1,x=1.,y=.5,z=007i,q=1e3":        "!value_not_finite line 1.v; a m_w 1@0; a m_x 1@0; a m_y 0.5@0; a m_z 7@0; a m_q 1000@0",
		"m,host=a v=1 1760000601000000000":                    "!ts_future line 1.timestamp",
		"m,host=a v=1 -9223372036854775807":                   "!ts_invalid line 1.timestamp",
		"m,host=a v=1 99999999999999999999":                   "!ts_invalid line 1.timestamp",
		`my\ m\,x,host=a\ b,t\=1=c\,d f\ \=1=1`:               "a b my m,x_f =1.t-1=c,d 1@0",
		"cpu,cpu=cpu0,host=a usage_idle=1":                    "a cpu_usage_idle.cpu0 1@0",
		"disk,device=sda1,host=a,path=/var used=1":            "a disk_used.device=sda1.path=|var 1@0",
		"net,interface=e0,device=d1 rx=1":                     "d1 net_rx.interface=e0 1@0",
		"_m,host=a/b//c+#/_x v=1":                             "a/b/c--/-x -m_v 1@0",
		"m,host=a\xff v\x01=1":                                "a- m_v- 1@0",
	} {
		if got := decodeAs(t, FormatInflux, testOptions(), frame); got != want {
			t.Errorf("%q:\n got %s\nwant %s", frame, got, want)
		}
	}
}

func TestSeriesOfTheLineProtocolStayApart(t *testing.T) {
	for frame, want := range map[string]string{
		"m value=1,gauge=2":                      "p/d m_value 1@0; p/d m_gauge 2@0",
		"m value=1":                              "p/d m 1@0",
		"m value=1,w=2\nm value=3":               "p/d m_value 1@0; p/d m_w 2@0; p/d m 3@0",
		"m value=1\nm value=3,w=2":               "p/d m 1@0; p/d m_value 3@0; p/d m_w 2@0",
		"m,a=x v=1\nm,b=x v=2":                   "p/d m_v.a=x 1@0; p/d m_v.b=x 2@0",
		"m,m=x v=1\nm,b=x v=2":                   "p/d m_v.x 1@0; p/d m_v.b=x 2@0",
		"m,m=x,b=y v=1":                          "p/d m_v.b=y.m=x 1@0",
		"m,a=x,b=y v=1\nm,a=x.y v=2":             "p/d m_v.a=x.b=y 1@0; p/d m_v.a=x.y 2@0",
		`m,a=x.b\=y v=1`:                         "p/d m_v.a=x.b-y 1@0",
		"disk,path=/a/b v=1\ndisk,path=/a-b v=2": "p/d disk_v.path=|a|b 1@0; p/d disk_v.path=|a-b 2@0",
		"m,device=sda v=1\nm,host=sda v=2":       "p/d m_v.device=sda 1@0; p/d m_v 2@0",
	} {
		opts := testOptions()
		opts.DefaultDevice = "p/d"
		if got := decodeAs(t, FormatInflux, opts, frame); got != want {
			t.Errorf("%q:\n got %s\nwant %s", frame, got, want)
		}
	}
}
