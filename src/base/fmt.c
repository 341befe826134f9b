/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/fmt.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct out {
	char *buf;
	size_t size;
	size_t len; /* of the whole text, also of what did not fit */
};

struct spec {
	size_t width;
	size_t precision; /* SIZE_MAX: none given */
	bool left, zero, alt;
	enum { LEN_HH, LEN_H, LEN_INT, LEN_L, LEN_LL, LEN_Z, LEN_J, LEN_T } length;
	char conv;
};

static void put(struct out *o, char c)
{
	if (o->size != 0 && o->len < o->size - 1)
		o->buf[o->len] = c;
	o->len++;
}

static void pad(struct out *o, char c, size_t used, size_t width)
{
	for (; used < width; used++)
		put(o, c);
}

static void put_text(struct out *o, const struct spec *s, const char *text, size_t len)
{
	if (!s->left)
		pad(o, ' ', len, s->width);
	for (size_t i = 0; i < len; i++)
		put(o, text[i]);
	if (s->left)
		pad(o, ' ', len, s->width);
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
	size_t len = 0;

	if (text == NULL)
		text = "(null)";
	while (len < s->precision && text[len] != '\0')
		len++;
	put_text(o, s, text, len);
}

/* @prefix: sign or 0x, which comes before padding zeros and after padding spaces. */
static void put_number(struct out *o, const struct spec *s, uintmax_t v, const char *prefix)
{
	const char *set = s->conv == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	unsigned base = s->conv == 'x' || s->conv == 'X' || s->conv == 'p' ? 16 : 10;
	char digits[sizeof(v) * 3];
	size_t n = 0, used = 0;

	do {
		digits[n++] = set[v % base];
		v /= base;
	} while (v != 0);
	while (prefix[used] != '\0')
		used++;
	used += n;

	if (!s->left && !s->zero)
		pad(o, ' ', used, s->width);
	while (*prefix != '\0')
		put(o, *prefix++);
	if (!s->left && s->zero)
		pad(o, '0', used, s->width);
	while (n > 0)
		put(o, digits[--n]);
	if (s->left)
		pad(o, ' ', used, s->width);
}

static const char *parse_count(const char *fmt, size_t *count)
{
	size_t n = 0;

	for (; *fmt >= '0' && *fmt <= '9'; fmt++)
		if (n < INT_MAX / 10)
			n = n * 10 + (size_t)(*fmt - '0');
	*count = n;
	return fmt;
}

static const char *parse_flags(const char *fmt, struct spec *s)
{
	for (;; fmt++) {
		if (*fmt == '-')
			s->left = true;
		else if (*fmt == '0')
			s->zero = true;
		else if (*fmt == '#')
			s->alt = true;
		else
			return fmt;
	}
}

static const char *parse_length(const char *fmt, struct spec *s)
{
	s->length = LEN_INT;
	switch (*fmt) {
	case 'h':
		s->length = fmt[1] == 'h' ? LEN_HH : LEN_H;
		return fmt + (fmt[1] == 'h' ? 2 : 1);
	case 'l':
		s->length = fmt[1] == 'l' ? LEN_LL : LEN_L;
		return fmt + (fmt[1] == 'l' ? 2 : 1);
	case 'z':
		s->length = LEN_Z;
		return fmt + 1;
	case 'j':
		s->length = LEN_J;
		return fmt + 1;
	case 't':
		s->length = LEN_T;
		return fmt + 1;
	default:
		return fmt;
	}
}

/* A struct around va_list, because an array type (x86-64) can't be passed by reference. */
struct args {
	va_list ap;
};

static intmax_t signed_arg(struct args *a, const struct spec *s)
{
	switch (s->length) {
	case LEN_HH:
		return (signed char)va_arg(a->ap, int);
	case LEN_H:
		return (short)va_arg(a->ap, int);
	case LEN_L:
		return va_arg(a->ap, long);
	case LEN_LL:
		return va_arg(a->ap, long long);
	case LEN_Z:
	case LEN_T:
		return va_arg(a->ap, ptrdiff_t);
	case LEN_J:
		return va_arg(a->ap, intmax_t);
	case LEN_INT:
		break;
	}
	return va_arg(a->ap, int);
}

static uintmax_t unsigned_arg(struct args *a, const struct spec *s)
{
	switch (s->length) {
	case LEN_HH:
		return (unsigned char)va_arg(a->ap, unsigned);
	case LEN_H:
		return (unsigned short)va_arg(a->ap, unsigned);
	case LEN_L:
		return va_arg(a->ap, unsigned long);
	case LEN_LL:
		return va_arg(a->ap, unsigned long long);
	case LEN_Z:
	case LEN_T:
		return va_arg(a->ap, size_t);
	case LEN_J:
		return va_arg(a->ap, uintmax_t);
	case LEN_INT:
		break;
	}
	return va_arg(a->ap, unsigned);
}

static const char *parse_spec(const char *fmt, struct spec *s, struct args *a)
{
	int n;

	*s = (struct spec){ .precision = SIZE_MAX };
	fmt = parse_flags(fmt, s);
	if (*fmt == '*') {
		n = va_arg(a->ap, int);
		s->left |= n < 0;
		s->width = n < 0 ? 0U - (unsigned)n : (unsigned)n;
		fmt++;
	} else {
		fmt = parse_count(fmt, &s->width);
	}
	if (*fmt == '.' && fmt[1] == '*') {
		n = va_arg(a->ap, int);
		s->precision = n < 0 ? SIZE_MAX : (size_t)n;
		fmt += 2;
	} else if (*fmt == '.') {
		fmt = parse_count(fmt + 1, &s->precision);
	}
	fmt = parse_length(fmt, s);
	s->conv = *fmt;
	return fmt;
}

/* False: not a conversion that we know. */
static bool convert(struct out *o, struct spec *s, struct args *a)
{
	uintmax_t u;
	intmax_t i;
	char c;

	switch (s->conv) {
	case 'd':
	case 'i':
		i = signed_arg(a, s);
		put_number(o, s, i < 0 ? 0 - (uintmax_t)i : (uintmax_t)i, i < 0 ? "-" : "");
		return true;
	case 'u':
		put_number(o, s, unsigned_arg(a, s), "");
		return true;
	case 'x':
	case 'X':
		u = unsigned_arg(a, s);
		put_number(o, s, u, !s->alt || u == 0 ? "" : s->conv == 'x' ? "0x" : "0X");
		return true;
	case 'p':
		put_number(o, s, (uintptr_t)va_arg(a->ap, void *), "0x");
		return true;
	case 's':
		put_string(o, s, va_arg(a->ap, const char *));
		return true;
	case 'c':
		c = (char)va_arg(a->ap, int);
		put_text(o, s, &c, 1);
		return true;
	case '%':
		put(o, '%');
		return true;
	default:
		return false;
	}
}

static void format(struct out *o, const char *fmt, struct args *a)
{
	while (*fmt != '\0') {
		const char *start = fmt;
		struct spec s;

		if (*fmt != '%') {
			put(o, *fmt++);
			continue;
		}
		fmt = parse_spec(fmt + 1, &s, a);
		if (convert(o, &s, a)) {
			fmt++;
			continue;
		}
		while (*start != '\0')
			put(o, *start++);
		return;
	}
}

int vio_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = { .buf = buf, .size = size };
	struct args a;

	va_copy(a.ap, ap);
	format(&o, fmt, &a);
	va_end(a.ap);
	if (size != 0)
		buf[o.len < size ? o.len : size - 1] = '\0';
	return o.len > INT_MAX ? INT_MAX : (int)o.len;
}

int vio_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vio_vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}

/* UTF-8 passes: only the ASCII control characters can end or overwrite a line. */
static void make_one_line(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

void vio_error_set(struct vio_error *err, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return;
	va_start(ap, fmt);
	vio_vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	make_one_line(err->msg);
}

void vio_log(const struct vio_host *host, enum vio_log_level level, const char *fmt, ...)
{
	char line[VIO_LOG_LINE];
	va_list ap;

	if (host == NULL || host->log == NULL)
		return;
	va_start(ap, fmt);
	vio_vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	make_one_line(line);
	host->log(host->ctx, level, line);
}
