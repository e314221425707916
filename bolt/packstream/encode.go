package packstream

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

func appendHeader(b []byte, n int, tiny, long8 byte) []byte {
	switch {
	case n < 16:
		return append(b, tiny|byte(n))
	case n <= math.MaxUint8:
		return append(b, long8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, long8+1), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, long8+2), uint32(n))
}

// AppendString appends s as a string.
func AppendString[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(appendHeader(b, len(s), 0x80, markerStr8), s...)
}

// AppendList appends the header of a list of n values, which the caller appends next.
func AppendList(b []byte, n int) []byte { return appendHeader(b, n, 0x90, markerList8) }

// AppendMap appends the header of a map of n pairs, which the caller appends next.
func AppendMap(b []byte, n int) []byte { return appendHeader(b, n, 0xA0, markerMap8) }

// AppendStruct appends the header of a structure of n fields, which the caller appends next. Today's specification knows
// at most 15; more take the long forms of the earliest one, up to 65,535.
func AppendStruct(b []byte, tag byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0xB0|byte(n), tag)
	case n <= math.MaxUint8:
		return append(b, markerStruct8, byte(n), tag)
	}
	return append(binary.BigEndian.AppendUint16(append(b, markerStruct), uint16(n)), tag)
}

// AppendNull appends null.
func AppendNull(b []byte) []byte { return append(b, markerNull) }

// AppendBool appends v.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, markerTrue)
	}
	return append(b, markerFalse)
}

// AppendInt appends v in its shortest form.
func AppendInt(b []byte, v int64) []byte {
	switch {
	case v >= -16 && v <= 127:
		return append(b, byte(v))
	case v >= math.MinInt8 && v <= math.MaxInt8:
		return append(b, markerInt8, byte(v))
	case v >= math.MinInt16 && v <= math.MaxInt16:
		return binary.BigEndian.AppendUint16(append(b, markerInt16), uint16(v))
	case v >= math.MinInt32 && v <= math.MaxInt32:
		return binary.BigEndian.AppendUint32(append(b, markerInt32), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, markerInt64), uint64(v))
}

// AppendFloat appends v.
func AppendFloat(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, markerFloat64), math.Float64bits(v))
}

// AppendBytes appends v as a byte array.
func AppendBytes(b, v []byte) []byte {
	switch n := len(v); {
	case n <= math.MaxUint8:
		b = append(b, markerBytes8, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, markerBytes16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, markerBytes32), uint32(n))
	}
	return append(b, v...)
}

// AppendValue appends any value that Value returns, and int, []string and map[string]string beside them. Map keys are
// sorted, so that equal values give equal bytes. Another type is a programming error and panics.
func AppendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return AppendNull(b)
	case bool:
		return AppendBool(b, v)
	case int:
		return AppendInt(b, int64(v))
	case int64:
		return AppendInt(b, v)
	case float64:
		return AppendFloat(b, v)
	case string:
		return AppendString(b, v)
	case []byte:
		return AppendBytes(b, v)
	case []string:
		b = AppendList(b, len(v))
		for _, s := range v {
			b = AppendString(b, s)
		}
		return b
	case []any:
		return appendValues(AppendList(b, len(v)), v)
	case map[string]any:
		return appendMapValue(b, v)
	case map[string]string:
		return appendMapValue(b, v)
	case Structure:
		return appendValues(AppendStruct(b, v.Tag, len(v.Fields)), v.Fields)
	}
	panic(fmt.Sprintf("packstream: cannot encode %T", v))
}

func appendValues(b []byte, list []any) []byte {
	for _, v := range list {
		b = AppendValue(b, v)
	}
	return b
}

func appendMapValue[V any](b []byte, m map[string]V) []byte {
	b = AppendMap(b, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = AppendValue(AppendString(b, k), m[k])
	}
	return b
}
