// Splits a text into the model's token ids, as in training. Plain Kotlin, no dependencies.
const val START = $start // id before a text; -1 for none
const val END = $end // id after a text; -1 for none
const val UNKNOWN = $unknown // id of a word that cannot be split
const val LENGTH = $length // ids in a window at most; 0 for any number
const val LOWERCASE = $lowercase
const val STRIP_ACCENTS = $strip_accents
const val SPLIT_CHINESE = $split_chinese
const val LONGEST_WORD = 100 // characters; a longer word is unknown

/** [vocabulary]: the lines of vocab.txt. [characters]: the lines of characters.txt. */
class Tokens(vocabulary: List<String>, characters: List<String>) {
    private val ids = HashMap<String, Int>()
    private var longest = 0 // characters of the longest token
    private val ranges = HashMap<String, ArrayList<IntArray>>()
    private val changes = hashMapOf("decompose" to HashMap<Int, IntArray>(), "lower" to HashMap())
    private val rank = HashMap<Int, Int>() // canonical combining classes above 0, in their order

    init {
        vocabulary.forEachIndexed { id, token ->
            ids[token] = id
            longest = maxOf(longest, token.length)
        }
        for (line in characters) {
            val parts = line.split(' ')
            if (parts[0] != "#") for (entry in parts.drop(1)) add(parts[0], entry)
        }
    }

    /** Returns the model's inputs: the windows of a text, several if the text is long. */
    fun encode(text: String): List<IntArray> {
        val pieces = pieces(text)
        val ends = (if (START >= 0) 1 else 0) + (if (END >= 0) 1 else 0)
        val room = if (LENGTH > 0) LENGTH - ends else pieces.size + 1
        val count = maxOf((pieces.size + room - 1) / room, 1)
        var next = 0
        return List(count) { i -> // The windows have about the same length.
            val from = next
            next += pieces.size / count + (if (i < pieces.size % count) 1 else 0)
            val window = ArrayList<Int>()
            if (START >= 0) window.add(START)
            window.addAll(pieces.subList(from, next))
            if (END >= 0) window.add(END)
            window.toIntArray()
        }
    }

    /** Returns the token ids of all of a text, without start and end. */
    fun pieces(text: String): List<Int> {
        val pieces = ArrayList<Int>()
        for (word in words(text)) split(word, pieces)
        return pieces
    }

    private fun add(name: String, entry: String) {
        val (before, after) = entry.substringBefore(':') to entry.substringAfter(':')
        if (name in changes) {
            val parts = after.split(',').map { it.toInt(16) }
            changes.getValue(name)[before.toInt(16)] = parts.toIntArray()
        } else {
            val first = after.substringBefore('-').toInt(16)
            val last = after.substringAfter('-').toInt(16)
            if (name == "rank") {
                for (character in first..last) rank[character] = before.toInt()
            } else {
                ranges.getOrPut(name) { ArrayList() }.add(intArrayOf(first, last))
            }
        }
    }

    private fun within(character: Int, name: String): Boolean {
        val place = ranges.getValue(name).binarySearch { (first, last) ->
            if (last < character) -1 else if (first > character) 1 else 0
        }
        return place >= 0
    }

    private fun decomposed(character: Int): IntArray {
        val syllable = character - 0xAC00
        if (syllable !in 0 until 11172) { // not Korean
            return changes.getValue("decompose")[character] ?: intArrayOf(character)
        }
        val parts = intArrayOf(0x1100 + syllable / 588, 0x1161 + syllable / 28 % 21)
        return if (syllable % 28 == 0) parts else parts + (0x11A7 + syllable % 28)
    }

    /** Sorts the combining characters between two others by their class, as NFD does. */
    private fun ordered(text: List<Int>): List<Int> {
        val sorted = ArrayList<Int>()
        val run = ArrayList<Int>()
        for (character in text) {
            if (character in rank) {
                run.add(character)
            } else {
                sorted.addAll(run.sortedBy { rank[it] })
                run.clear()
                sorted.add(character)
            }
        }
        sorted.addAll(run.sortedBy { rank[it] })
        return sorted
    }

    private fun words(text: String): List<List<Int>> {
        val clean = ArrayList<Int>()
        var place = 0
        while (place < text.length) {
            val character = Character.codePointAt(text, place)
            place += Character.charCount(character)
            if (within(character, "drop") || character in 0xD800..0xDFFF) continue
            val alone = SPLIT_CHINESE && within(character, "chinese")
            if (alone) clean.add(0x20)
            if (STRIP_ACCENTS) decomposed(character).forEach { clean.add(it) } else clean.add(character)
            if (alone) clean.add(0x20)
        }
        val words = arrayListOf(ArrayList<Int>())
        for (character in if (STRIP_ACCENTS) ordered(clean) else clean) {
            if (STRIP_ACCENTS && within(character, "mark")) continue
            val lower = if (LOWERCASE) changes.getValue("lower")[character] else null
            for (part in lower ?: intArrayOf(character)) {
                if (within(part, "space")) {
                    words.add(ArrayList())
                } else if (within(part, "punctuation")) {
                    words.add(arrayListOf(part))
                    words.add(ArrayList())
                } else {
                    words.last().add(part)
                }
            }
        }
        return words
    }

    /** Adds the ids of a word: at each place, the longest token that continues the word. */
    private fun split(word: List<Int>, pieces: ArrayList<Int>) {
        if (word.isEmpty()) return
        val ids = if (word.size > LONGEST_WORD) null else known(word)
        if (ids == null) pieces.add(UNKNOWN) else pieces.addAll(ids)
    }

    /** Returns the ids of a word; null if the vocabulary lacks a part of the word. */
    private fun known(word: List<Int>): List<Int>? {
        val pieces = ArrayList<Int>()
        var start = 0
        while (start < word.size) {
            var end = minOf(word.size, start + longest)
            val text = StringBuilder(if (start == 0) "" else "##")
            val lengths = ArrayList<Int>()
            for (i in start until end) {
                text.appendCodePoint(word[i])
                lengths.add(text.length)
            }
            while (end > start) {
                val token = ids[text.substring(0, lengths[end - start - 1])]
                if (token != null) {
                    pieces.add(token)
                    break
                }
                end--
            }
            if (end == start) return null
            start = end
        }
        return pieces
    }
}
