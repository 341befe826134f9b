/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptions of back ends: what is accepted, and the one line that says what is wrong. */
#include "backend_sink.h"
#include "fds.h"

static void lists_the_kinds(void **state)
{
	static const char *const names[] = { "null", "source", "loop", "tap", "user", "pcap" };
	const struct vio_backend_ops *const *kinds = vio_backend_kinds();

	(void)state;
	for (unsigned i = 0; i < vio_array_size(names); i++) {
		assert_string_equal(kinds[i]->kind, names[i]);
		assert_int_not_equal(strlen(kinds[i]->summary), 0);
		assert_non_null(kinds[i]->options);
		assert_non_null(kinds[i]->send);
		assert_non_null(kinds[i]->fd);
	}
	assert_null(kinds[vio_array_size(names)]);
}

static void names_an_unknown_kind(void **state)
{
	(void)state;
	refuse("tup", 1, "unknown back end \"tup\": there are null, source, loop, tap, user, pcap");
	refuse("", 1, "unknown back end \"\": there are null, source, loop, tap, user, pcap");
}

static void names_unknown_and_missing_keys(void **state)
{
	(void)state;
	refuse("tap,nmae=x", 1, "tap: unknown option \"nmae\": it takes name, fd, up, mtu");
	refuse("null,x", 1, "null: unknown option \"x\": it takes read");
	refuse("source,,size=64", 1, "source: an option is empty, expected key=value");
	refuse("source,", 1, "source: an option is empty, expected key=value");
	refuse("source,=4", 1, "source: an option is empty, expected key=value");
	refuse("pcap", 1, "pcap: expected file=PATH");
	refuse("pcap,file=", 1, "pcap: file: expected file=VALUE");
	refuse("source,next=a,b", 1, "source: unknown option \"next\": it takes size, rate, count");
}

static void names_wrong_values(void **state)
{
	(void)state;
	refuse("source,rate=-1", 1, "source: rate=-1: expected a number from 0 to 1000000000");
	refuse("source,rate=1000000001", 1,
	       "source: rate=1000000001: expected a number from 0 to 1000000000");
	refuse("source,count=18446744073709551616", 1,
	       "source: count=18446744073709551616: expected a number from 0 to "
	       "18446744073709551615");
	refuse("source,rate=1x", 1, "source: rate=1x: expected a number from 0 to 1000000000");
	refuse("source,rate", 1, "source: rate=: expected a number from 0 to 1000000000");
	refuse("source,size=59", 1, "source: size=59: expected a number from 60 to 65549, or imix");
	refuse("source,size=60,size=61", 1, "source: size is given twice");
	refuse("tap,up=yes", 1, "tap: up=yes: expected on or off");
	refuse("tap,mtu=67", 1, "tap: mtu=67: expected a number from 68 to 65521");
	refuse("tap,name=longerthanallowed", 1,
	       "tap: name=longerthanallowed: expected at most 15 characters");
	refuse("tap,fd=x", 1,
	       "tap: fd=x: expected 1 descriptor (one for each queue pair) with ':' between them");
	refuse("tap,fd=999999:1", 1, "tap: fd=999999:1: more descriptors than queue pairs (1)");
	refuse("tap,fd=5,name=x", 1, "tap: name= and fd= exclude each other");
}

static void names_wrong_values_of_user(void **state)
{
	(void)state;
	refuse("user,net=10.0.2.0/33", 1,
	       "user: net=10.0.2.0/33: expected ADDRESS/LENGTH such as 10.0.2.0/24, length 8 to 29");
	refuse("user,host=10.0.3.2", 1,
	       "user: host=10.0.3.2: expected an IPv4 address of a host in the network");
	refuse("user,dns=10.0.2.255", 1,
	       "user: dns=10.0.2.255: expected an IPv4 address of a host in the network");
	refuse("user,host=10.0.2.3", 1,
	       "user: host, dns and dhcpstart must be three different addresses");
	refuse("user,ipv6=on,mtu=576", 1, "user: mtu=576: IPv6 needs at least 1280, or ipv6=off");
	refuse("user,hostfwd=tcp:2222", 1,
	       "user: hostfwd=tcp:2222: expected tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT");
	refuse("user,hostfwd=sctp::1-:2", 1,
	       "user: hostfwd=sctp::1-:2: expected tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT");
	refuse("user,hostfwd=tcp::70000-:2", 1,
	       "user: hostfwd=tcp::70000-:2: expected tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT");
}

static void limits_the_pairs(void **state)
{
	(void)state;
	refuse("null", 257, "null: 257 queue pairs: expected from 1 to 256");
	refuse("loop", 0, "loop: 0 queue pairs: expected from 1 to 256");
	refuse("user", 129, "user: 129 queue pairs: expected from 1 to 128");
}

/* A description of many options is refused by number, not cut. */
static void limits_the_options(void **state)
{
	char spec[1024] = "user";

	(void)state;
	for (int i = 0; i < 65; i++)
		strcat(spec, ",restrict=off");
	refuse(spec, 1, "user: more than 64 options");
}

static void opens_and_closes(void **state)
{
	static const char *const specs[] = {
		"null",
		"loop",
		"source",
		"source,size=imix,rate=5,count=7",
		"user",
		"user,net=192.168.7.0/28,ipv6=off,restrict=on,mtu=9000,hostname=box",
		"pcap,file=/dev/null",
		"pcap,file=/dev/null,next=pcap,file=/dev/null,next=loop",
	};
	unsigned fds = count_fds();
	char text[128];

	(void)state;
	for (unsigned i = 0; i < vio_array_size(specs); i++) {
		struct vio_backend *be = open_backend(specs[i], 4);

		assert_in_range(be->caps.max_pairs, 4, 256);
		assert_in_range(be->caps.send_burst, 1, 64);
		be->ops->describe(be, text, sizeof(text));
		assert_int_not_equal(strlen(text), 0);
		vio_backend_close(be);
	}
	vio_backend_close(NULL);
	assert_int_equal(count_fds(), fds);
}

static void describes_itself(void **state)
{
	struct vio_backend *be = open_backend("pcap,file=/dev/null,next=user:net=10.1.0.0/16", 1);
	char text[64];

	(void)state;
	be->ops->describe(be, text, sizeof(text));
	assert_string_equal(text, "pcap before user 10.1.0.0/16");
	vio_backend_close(be);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_the_kinds),
		cmocka_unit_test(names_an_unknown_kind),
		cmocka_unit_test(names_unknown_and_missing_keys),
		cmocka_unit_test(names_wrong_values),
		cmocka_unit_test(names_wrong_values_of_user),
		cmocka_unit_test(limits_the_pairs),
		cmocka_unit_test(limits_the_options),
		cmocka_unit_test(opens_and_closes),
		cmocka_unit_test(describes_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
