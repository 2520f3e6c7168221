package cmssim

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"restwatch/diff"
)

func TestDialects(t *testing.T) {
	rows := []diff.Row{{WorkNo: 55001, Name: "z\"1\\\n座", Reason: 2, Begin: 1602830642123, Requested: 600}}
	counts := diff.Counts{Waiting: 1, Approved: 2, Resting: 3}
	const inner = `{"allowRestNum":2,"onRestNum":3,"waitRestNum":1,"agentsRestDetails":[{"agentName":"z\"1\\\u000a座","workNo":55001,"cantRestReason":2,"beginTime":1602830642123,"restDuration":600}]}`
	for _, tt := range []struct {
		reply Reply
		want  string
	}{
		{Reply{}, `{"result":"0","resultCode":"0100000","resultDatas":` + inner + `,"resultDesc":` + inner + `}`},
		{Reply{Generation: Legacy}, `{"result":"0","resultDatas":` + inner + `}`},
		{Reply{Generation: CurrentOnly}, `{"resultCode":"0100000","resultDesc":` + inner + `}`},
		{Reply{Generation: CurrentOnly, Gzip: true}, `{"resultCode":"0100000","resultDesc":` + inner + `}`},
		{Reply{Generation: Legacy, LowerCase: true, Seconds: true}, `{"result":"0","resultdatas":` +
			strings.Replace(strings.NewReplacer("allowRestNum", "allowrestnum", "onRestNum", "onrestnum", "waitRestNum", "waitrestnum",
				"agentsRestDetails", "agentsrestdetails", "agentName", "agentname", "workNo", "workno", "cantRestReason", "cantrestreason",
				"beginTime", "begintime", "restDuration", "restduration").Replace(inner), "642123", "642", 1) + `}`},
		{Reply{Generation: CurrentOnly, Strings: true, Extra: true},
			`{"resultCode":"0100000","resultDesc":{"teamInfo":{"depth":[[],{"of":null}],"note":"]}\"{["},"allowRestNum":"2","onRestNum":"3","waitRestNum":"1","agentsRestDetails":[{"agentName":"z\"1\\\u000a座","workNo":"55001","cantRestReason":"2","beginTime":"1602830642123","restDuration":"600","skillIds":[1,2.5e3,true]}]}}`},
	} {
		c, _ := serve(t, Options{Tenants: []Tenant{{World: Config{VDN: vdn170}, Reply: tt.reply}}})
		c.s.SetList(vdn170, rows, counts)
		r := c.request("POST", pathRest, query170(""))
		r.Header.Set("Accept-Encoding", "gzip")
		c.sign(r, query170(""))
		a, err := c.do(r)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(a.body)) && !tt.reply.Gzip {
			t.Errorf("%+v is no JSON", tt.reply)
		}
		if zipped := a.header.Get("Content-Encoding") == "gzip"; zipped != tt.reply.Gzip {
			t.Errorf("%+v: gzip %v", tt.reply, zipped)
		} else if zipped {
			z, err := gzip.NewReader(strings.NewReader(a.body))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(z)
			a.body = string(b)
			if err != nil {
				t.Error(err)
			}
		}
		if a.body != tt.want {
			t.Errorf("%+v gives\n%s\nwant\n%s", tt.reply, a.body, tt.want)
		}
	}
}

func TestLegacyError(t *testing.T) {
	c, _ := serve(t, Options{Tenants: []Tenant{{World: Config{VDN: vdn170}, Reply: Reply{Generation: Legacy}}}})
	if got, want := c.poll(`,"offset":0,"limit":0`).body, `{"result":"0100002","resultDesc":"limit 0: want 1..100"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
