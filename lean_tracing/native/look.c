/* The first look of the redaction: proves for most texts that they hold nothing to hide.
 *
 * The twin is `_may_hold_something` in redaction/redactor.py. Where this finds nothing, the twin finds nothing. The
 * reverse does not hold: this only looks for the beginnings of cards and tokens, and lets the twin decide.
 */
#include "native.h"

enum { MIN_TEXT = 5, MIN_CARD = 13, MIN_TOKEN = 20, PREFIX = 6 };

/* What a character may begin. */
enum { NOTHING, LETTER, DIGIT, SUSPICIOUS, SPECIAL };

static uint8_t classes[128];
/* For each of the first characters of a token: which tokens have this character there, a bit each. */
static uint64_t prefixes[PREFIX][128];

int look_configure(PyObject *given)
{
    if (!PyBytes_CheckExact(given) || PyBytes_GET_SIZE(given) != sizeof prefixes) {
        PyErr_SetString(PyExc_ValueError, "the prefixes of tokens have another size");
        return -1;
    }
    memcpy(prefixes, PyBytes_AS_STRING(given), sizeof prefixes);
    memset(classes, NOTHING, sizeof classes);
    for (int c = 'A'; c <= 'Z'; c++)
        classes[c] = classes[c - 'A' + 'a'] = LETTER;
    for (int c = '0'; c <= '9'; c++)
        classes[c] = DIGIT;
    for (const char *c = "=:@%>"; *c; c++)
        classes[(unsigned char)*c] = SUSPICIOUS;
    for (const char *c = "- +\t\n,'(["; *c; c++)
        classes[(unsigned char)*c] = SPECIAL;
    return 0;
}

static int begins_token(const unsigned char *text, Py_ssize_t left)
{
    uint64_t possible = prefixes[0][text[0]];
    for (int place = 1; possible && place < PREFIX && place < left; place++)
        possible &= prefixes[place][text[place]];
    return possible != 0;
}

static Py_ssize_t digits(const unsigned char *text, Py_ssize_t left)
{
    Py_ssize_t count = 0;
    while (count < left && classes[text[count]] == DIGIT)
        count++;
    return count;
}

/* Thirteen digits or more, or the first two groups of a card and the separator after each. */
static int begins_card(const unsigned char *text, Py_ssize_t left)
{
    if (text[0] < '2' || text[0] > '6')
        return 0;
    Py_ssize_t first = digits(text, left);
    if (first != 4 || left < MIN_CARD)
        return first >= MIN_CARD;
    Py_ssize_t second = digits(text + 5, left - 5);
    return (second == 4 || second == 6) && text[5 + second] == text[4];
}

/* `word` is in small letters. */
static int continues(const unsigned char *text, Py_ssize_t left, const char *word)
{
    for (; *word; word++, text++, left--)
        if (left <= 0 || (*text | 0x20) != (unsigned char)*word)
            return 0;
    return 1;
}

int is_harmless(PyObject *object)
{
#if PY_VERSION_HEX < 0x030C0000
    if (!PyUnicode_IS_READY(object))
        return 0;
#endif
    if (!PyUnicode_IS_ASCII(object))
        return 0;
    Py_ssize_t length = PyUnicode_GET_LENGTH(object);
    if (length < MIN_TEXT)
        return 1;
    const unsigned char *text = PyUnicode_1BYTE_DATA(object);
    int blank = 0, scheme = 0, comma = 0, quoted = 0;
    int inside = 0; /* a word */
    for (Py_ssize_t i = 0; i < length; i++) {
        /* Beyond the last character there is a 0, so text[i + 1] can be read. */
        unsigned char c = text[i];
        switch (classes[c]) {
        case LETTER:
            if (!inside && length >= MIN_TOKEN && begins_token(text + i, length - i))
                return 0;
            inside = 1;
            if (c == 'e' && text[i + 1] == 'y' && text[i + 2] == 'J')
                return 0;
            if ((c | 0x20) == 'b')
                scheme |= continues(text + i, length - i, "bearer") || continues(text + i, length - i, "basic");
            break;
        case DIGIT:
            if (!inside && length >= MIN_CARD && begins_card(text + i, length - i))
                return 0;
            inside = 1;
            break;
        case SUSPICIOUS:
            return 0;
        case SPECIAL:
            inside = 0;
            if (c == '-') {
                if (text[i + 1] == '-')
                    return 0;
            } else if (c == ',') {
                comma = 1;
            } else if (c == '\'') {
                if (text[i + 1] == ',')
                    return 0;
            } else if (c == '(' || c == '[') {
                quoted |= text[i + 1] == '\'' || text[i + 1] == '"';
            } else {
                blank = 1;
            }
            break;
        default:
            inside = 0;
        }
    }
    return !(blank && scheme) && !(comma && quoted);
}
