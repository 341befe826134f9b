/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The working memory of calls into libslirp: room for a private copy of the largest frame, and for
 * the largest that is merged. It is needed within a call only, so as many pieces exist as threads
 * were in such a call at the same time, whatever the number of ports: an idle port has none. They
 * are kept for the next call, and freed with the last back end.
 */
#include <pthread.h>

#include "user.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vio_user_work *store;
static unsigned users;

void vio_user_work_open(void)
{
	pthread_mutex_lock(&lock);
	users++;
	pthread_mutex_unlock(&lock);
}

void vio_user_work_close(void)
{
	struct vio_user_work *work = NULL;

	pthread_mutex_lock(&lock);
	if (--users == 0) {
		work = store;
		store = NULL;
	}
	pthread_mutex_unlock(&lock);
	while (work != NULL) {
		struct vio_user_work *next = work->next;

		work->host->free(work->host->ctx, work, sizeof(*work));
		work = next;
	}
}

struct vio_user_work *vio_user_work_get(const struct vio_host *host)
{
	struct vio_user_work *work;

	pthread_mutex_lock(&lock);
	work = store;
	if (work != NULL)
		store = work->next;
	pthread_mutex_unlock(&lock);
	if (work != NULL)
		return work;
	work = host->alloc(host->ctx, sizeof(*work), VIO_CACHE_LINE);
	if (work != NULL)
		work->host = host;
	return work;
}

void vio_user_work_put(struct vio_user_work *work)
{
	pthread_mutex_lock(&lock);
	work->next = store;
	store = work;
	pthread_mutex_unlock(&lock);
}
