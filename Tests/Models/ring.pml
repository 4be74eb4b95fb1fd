/* One lane of the ring: publishing, waking, acknowledging, restarts of the collector, and the producer's death at any step.
 *
 * It is Sources/TermspanRing (LaneWriter, LaneReader, LanePoller, Aggregator's checkpoints) with everything left out that is no matter of
 * order. Spin itself is sequentially consistent, so stores go through a buffer each side: a relaxed store is pending until memory takes it,
 * at any later moment and in any order; a releasing one is taken after all that came before it; after a sequentially consistent one nothing
 * is pending, so that a load which follows comes after it. What was pending when a process is killed is taken all the same. Loads are in the
 * order of the program, which acquiring loads are.
 *
 * What must hold is in the assertions: nothing torn, nothing committed lost or stored twice, attempted = delivered + lost, a mark that fits
 * the head at each restart, and nobody asleep beside an event (at each timeout, which is where no process can go on).
 *
 * Bounds: SLOTS slots, ATTEMPTS events of one or two slots, RESTARTS restarts of the collector. `Tests/Models/run` says what is searched.
 * Each definition of BROKEN_ and a name takes one thing away that the protocol needs, and must yield a counterexample.
 */

#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif
/* Slots that are read in a round. */
#define LIMIT 2

/* What is stored is never 0. */
#define NOTHING 0

#ifdef BROKEN_HEADER_RELAXED
#define may_take_header(index) (new_header[index] != NOTHING)
#else
#define may_take_header(index) (new_header[index] != NOTHING && (new_parts[index] == 0 || pending == 1))
#endif

/* The memory of `events`, which the producer writes. A slot's header is its position + 1, 0 while it was never written; an event's first has
 * its number of slots, a continuation 0. The payload is the event's number. */
byte header[SLOTS], parts[SLOTS], payload[SLOTS];
byte attempted;

/* What of it is pending. */
byte new_header[SLOTS], new_parts[SLOTS], new_payload[SLOTS];
byte new_attempted;
byte pending;

/* The memory of `control`, which the collector writes. */
byte head, arm_epoch, last_epoch;
byte mark_head[2], mark_attempted[2], mark_delivered[2];

/* What of it is pending; the mark is one store here, since nothing reads a part of it that is not in force. */
byte new_head, new_arm, new_last;
/* Which of the two, from 1. */
byte new_mark, new_mark_head, new_mark_attempted, new_mark_delivered;

/* The eventfd: rung since it was reported last, and ever, which is what a new epoll instance reports. */
bool rung, was_rung;

/* The store: each event's rows, and how far the fold went. One transaction. */
byte rows[ATTEMPTS + 1];
byte durable;

/* For the assertions alone. */
bool committed[ATTEMPTS + 1];
byte tried;
bool producer_ended, must_die, must_restart, finished;
byte restarts;

#define place(position) ((position) % SLOTS)

/* Stores of the producer. */

inline put_attempted(value) { d_step { if :: new_attempted == NOTHING -> pending++ :: else fi; new_attempted = value } }

inline put_payload(at, value) { d_step { assert(new_payload[place(at)] == NOTHING); new_payload[place(at)] = value; pending++ } }

inline put_header(at, count) {
    d_step { assert(new_header[place(at)] == NOTHING); new_header[place(at)] = at + 1; new_parts[place(at)] = count; pending++ }
}

inline take_header(index) {
    header[index] = new_header[index]; parts[index] = new_parts[index]; new_header[index] = NOTHING; pending--;
    if :: parts[index] > 0 -> committed[number_of[header[index] - 1]] = true :: else fi
}

/* Which event is at which position. */
byte number_of[2 * ATTEMPTS + 2];

/* Memory takes what is pending of the producer's: anything but a header that releases, which comes after the rest. */
active proctype producer_memory() {
    byte index;
end:
    do
    :: d_step { new_attempted != NOTHING -> attempted = new_attempted; new_attempted = NOTHING; pending-- }
    :: atomic { pending > 0 ->
        select(index : 0 .. SLOTS - 1);
        if
        :: d_step { new_payload[index] != NOTHING -> payload[index] = new_payload[index]; new_payload[index] = NOTHING; pending-- }
        :: d_step { may_take_header(index) -> take_header(index) }
        :: else
        fi;
        index = 0 }
    od
}

/* And of the collector's. */
active proctype collector_memory() {
end:
    do
    :: d_step { new_last != NOTHING -> last_epoch = new_last; new_last = NOTHING }
    :: d_step { new_mark != NOTHING ->
        mark_head[new_mark - 1] = new_mark_head; mark_attempted[new_mark - 1] = new_mark_attempted;
        mark_delivered[new_mark - 1] = new_mark_delivered;
        new_mark = NOTHING; new_mark_head = 0; new_mark_attempted = 0; new_mark_delivered = 0 }
    :: d_step { new_head != NOTHING && new_mark == NOTHING -> head = new_head; new_head = NOTHING }
    :: d_step { new_arm != NOTHING -> arm_epoch = new_arm; new_arm = NOTHING }
    od
}

/* LaneWriter.publish, again and again. */
active proctype producer() {
    byte position, cached_head, last_rung, epoch, number, count, index;
    {
        do
        :: number < ATTEMPTS ->
            /* What is put into the buffer nobody sees before memory takes it, so it is one step up to where a kill makes a difference. */
            atomic {
                if :: count = 1 :: count = 2 fi;
                number++; tried = number;
#ifndef BROKEN_ATTEMPTED_LATE
                put_attempted(number)
#endif
            }
            if
            :: position + count - cached_head > SLOTS ->
#ifdef BROKEN_NO_FULL
                skip
#else
                cached_head = head;
                if :: position + count - cached_head > SLOTS -> goto next :: else fi
#endif
            :: else
            fi;
            atomic {
                number_of[position] = number;
#ifdef BROKEN_COMMIT_FIRST
                put_header(position, count);
                pending == 0;
#endif
                put_payload(position, number);
#ifndef BROKEN_CONTINUATION_LATE
                if :: count == 2 -> put_header(position + 1, 0); put_payload(position + 1, number) :: else fi
#endif
            }
#ifdef BROKEN_LOAD_FIRST
            epoch = arm_epoch;
#endif
#ifndef BROKEN_COMMIT_FIRST
            put_header(position, count);
#endif
#ifndef BROKEN_HEADER_FENCE
            /* Sequentially consistent. */
            pending == 0;
#endif
#ifdef BROKEN_CONTINUATION_LATE
            if :: count == 2 -> put_header(position + 1, 0); put_payload(position + 1, number); pending == 0 :: else fi;
#endif
#ifdef BROKEN_ATTEMPTED_LATE
            put_attempted(number);
#endif
            atomic {
                position = position + count;
#ifndef BROKEN_LOAD_FIRST
                epoch = arm_epoch
#endif
            }
            atomic {
                if
#ifdef BROKEN_RING_ONCE
                :: epoch != 0 && last_rung == 0 ->
#else
                :: epoch != 0 && epoch != last_rung ->
#endif
                    last_rung = epoch;
#ifndef BROKEN_NO_RING
                    rung = true; was_rung = true
#endif
                :: else
                fi;
                epoch = 0
            }
        next:
            count = 0;
#if defined(BROKEN_HEADER_RELAXED) || defined(BROKEN_HEADER_FENCE)
            /* A buffer has one entry for each word here. */
            if :: position + 2 > SLOTS -> pending == 0 :: else fi
#endif
        :: number == ATTEMPTS -> break
        od;
        /* It lives, and has nothing to say. */
        must_die
    } unless { must_die };
    /* What it had stored is taken, whatever became of it. */
    pending == 0;
    producer_ended = true
}

#define is_committed(at) (header[place(at)] == (at) + 1)

/* The aggregator: rounds, checkpoints, sleep. */
active proctype collector() {
    byte position, my_head, last_attempted, delivered, epoch, which, count, slots, lost, first, left;
    /* Folded and not yet stored. */
    bool folded[ATTEMPTS + 1];
    byte index;
    bool sees_end;

start:
    {
        /* Attachment, and what the store says. A new epoll instance reports what was ever rung. */
        d_step {
            my_head = head; position = head; epoch = last_epoch; rung = was_rung;
            if
            :: mark_head[0] == head -> which = 0
            :: mark_head[1] == head -> which = 1
            :: else -> assert(false)
            fi;
            last_attempted = mark_attempted[which]; delivered = mark_delivered[which]
#ifdef BROKEN_EPOCH_ANEW
            ; epoch = 0
#endif
        }
    round:
        atomic { count = 0; left = LIMIT; sees_end = producer_ended }
        do
        :: atomic { left > 0 && is_committed(position) ->
            /* One word. */
            slots = parts[place(position)];
            assert(slots > 0) }
            if :: slots > left && count > 0 -> break :: else fi;
#ifdef BROKEN_ACKNOWLEDGE_BEFORE_COPY
            my_head = position + slots; new_head = my_head; new_head == NOTHING;
#endif
            first = payload[place(position)];
            if
            :: slots == 2 ->
                assert(header[place(position + 1)] == position + 2 && parts[place(position + 1)] == 0);
                assert(payload[place(position + 1)] == first)
            :: else
            fi;
            d_step {
                assert(first == number_of[position]);
                assert(first > last_attempted);
                lost = lost + first - last_attempted - 1;
                last_attempted = first; position = position + slots; delivered++; count++;
                left = (slots > left -> 0 : left - slots);
#ifndef BROKEN_NO_DEDUPLICATION
                if :: first > durable -> folded[first] = true :: else fi;
#else
                folded[first] = true;
#endif
                first = 0; slots = 0; lost = 0
            }
        :: else -> break
        od;
        left = 0;
        if
        /* A checkpoint, when its time has come or the lane is half full. */
        :: position != my_head ->
        checkpoint:
            skip;
#ifdef BROKEN_ACKNOWLEDGE_FIRST
            d_step { my_head = position; which = 1 - which;
                new_mark = which + 1; new_mark_head = position; new_mark_attempted = last_attempted; new_mark_delivered = delivered; new_head = position }
            new_head == NOTHING && new_mark == NOTHING;
#endif
            /* One transaction: the rows, and up to where. */
            d_step {
                index = 1;
                do
                :: index <= ATTEMPTS ->
                    if :: folded[index] -> rows[index]++; assert(rows[index] == 1); folded[index] = false :: else fi;
                    index++
                :: else -> break
                od;
                index = 0;
                if :: last_attempted > durable -> durable = last_attempted :: else fi
            }
#ifndef BROKEN_ACKNOWLEDGE_FIRST
            /* The mark that is not in force first, then the head, which puts it in force. */
            which = 1 - which;
            new_mark == NOTHING && new_head == NOTHING;
#ifdef BROKEN_HEAD_FIRST
            new_head = position; new_head == NOTHING;
#endif
#ifndef BROKEN_SAME_MARK
            d_step { new_mark = which + 1; new_mark_head = position; new_mark_attempted = last_attempted; new_mark_delivered = delivered }
#else
            which = 0;
            d_step { new_mark = 1; new_mark_head = position; new_mark_attempted = last_attempted; new_mark_delivered = delivered }
#endif
#ifndef BROKEN_HEAD_FIRST
            new_head = position;
#endif
            my_head = position;
#endif
            goto round
        :: count > 0 -> goto round
        :: count == 0 && sees_end && position == my_head -> goto over
        :: count == 0 && !sees_end ->
            /* Arms, looks again, sleeps. */
            atomic { new_arm == NOTHING; epoch++; new_last = epoch; new_arm = epoch }
#ifndef BROKEN_ARM_FENCE
            /* Sequentially consistent. */
            new_arm == NOTHING && new_last == NOTHING;
#endif
#ifndef BROKEN_NO_SECOND_LOOK
            if :: is_committed(position) -> goto round :: else fi;
#endif
        sleep:
            if
            :: rung -> rung = false; goto round
            :: position != my_head -> goto checkpoint
            :: producer_ended && !sees_end -> goto round
            fi
        fi;
    over:
        skip;
        /* LaneReader.finish, at the producer's end. */
        d_step {
            assert(attempted == tried || attempted + 1 == tried);
            assert(attempted >= delivered);
            index = 1;
            do
            :: index <= ATTEMPTS ->
                if :: committed[index] -> assert(rows[index] == 1) :: else -> assert(rows[index] == 0) fi;
                left = left + rows[index];
                index++
            :: else -> break
            od;
            /* Of what was attempted, all that was not lost was delivered. */
            assert(left == delivered);
            finished = true
        }
    } unless { must_restart };
    if
    :: finished
    :: else ->
        /* Killed; what it had stored is taken, and what it knew is gone. */
        new_head == NOTHING && new_arm == NOTHING && new_last == NOTHING && new_mark == NOTHING;
        d_step {
            must_restart = false;
            position = 0; my_head = 0; last_attempted = 0; delivered = 0; epoch = 0; which = 0; count = 0; slots = 0; lost = 0; first = 0;
            left = 0; sees_end = false; index = 0;
            do :: index <= ATTEMPTS -> folded[index] = false; index++ :: else -> break od;
            index = 0
        }
        goto start
    fi
}

/* Kills, and looks at what is left when nobody can go on. */
active proctype fate() {
    byte index;
    bool spares;
    do
    :: atomic { !spares && restarts < RESTARTS && !finished && !must_restart -> restarts++; must_restart = true }
    :: atomic { !spares && !must_die -> must_die = true }
    /* Else nobody would ever be left asleep. */
    :: atomic { !spares -> spares = true }
    :: timeout ->
        d_step {
            /* Nobody sleeps beside an event. */
            index = 1;
            do
            :: index <= ATTEMPTS ->
                if :: committed[index] -> assert(rows[index] == 1) :: else fi;
                index++
            :: else -> break
            od;
            index = 0
        }
        if
        :: finished -> break
        :: !must_die -> must_die = true
        :: else -> assert(finished)
        fi
    od
}
