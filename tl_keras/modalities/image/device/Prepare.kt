// Converts pixels to the model's input, as in training. Plain Kotlin, no dependencies.
import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

const val SIZE = $image_size // px, height = width
const val ANTIALIAS = $antialias
const val FIT = "$resize" // stretch, crop or pad

/** The input pixels of one pixel of a resized line: the first one, and the weight of each. */
class Taps(val first: Int, val weights: FloatArray)

fun tapsOf(before: Int, after: Int): List<Taps> {
    val scale = before.toFloat() / after.toFloat()
    return List(after) { i ->
        val centre = (i + 0.5f) * scale - 0.5f
        if (ANTIALIAS) trianglesAt(centre, max(scale, 1f), before) else nearestTo(centre, before)
    }
}

/** The two nearest input pixels; beyond the centre of a border pixel, that pixel only. */
fun nearestTo(centre: Float, before: Int): Taps {
    val first = floor(centre)
    val share = centre - first
    val alone = first < 0 || first + 1 > before - 1
    return Taps(max(first.toInt(), 0), if (alone) floatArrayOf(1f) else floatArrayOf(1f - share, share))
}

fun trianglesAt(centre: Float, radius: Float, before: Int): Taps {
    val first = max(floor(centre - radius).toInt() + 1, 0)
    val found = ArrayList<Float>()
    var x = first
    while (x < before && x < centre + radius) {
        found.add(1f - abs(x - centre) / radius)
        x++
    }
    var total = 0f
    for (weight in found) total += weight
    return Taps(first, FloatArray(found.size) { found[it] / total })
}

/** Returns the weighted sum of the input pixels; [value] returns the input pixel at an index. */
inline fun blend(taps: Taps, value: (Int) -> Float): Float {
    if (!ANTIALIAS && taps.weights.size == 2) { // TensorFlow's order of operations, for equal bits.
        val a = value(taps.first)
        return a + (value(taps.first + 1) - a) * taps.weights[1]
    }
    var sum = 0f
    for (i in taps.weights.indices) sum += taps.weights[i] * value(taps.first + i)
    return sum
}

/** Returns the model's input, SIZE x SIZE x 3 bytes. [rgb]: rows from top to bottom, 3 bytes a pixel. */
fun prepare(rgb: ByteArray, height: Int, width: Int): ByteArray {
    var (top, left) = Pair(0, 0)
    var (rowsBefore, columnsBefore) = Pair(height, width)
    var (rowsAfter, columnsAfter) = Pair(SIZE, SIZE)
    if (FIT == "crop") {
        val side = min(height, width)
        top = (height - side) / 2
        left = (width - side) / 2
        rowsBefore = side
        columnsBefore = side
    } else if (FIT == "pad") {
        val side = max(height, width)
        rowsAfter = max((height.toLong() * SIZE / side).toInt(), 1)
        columnsAfter = max((width.toLong() * SIZE / side).toInt(), 1)
    }
    val rows = tapsOf(rowsBefore, rowsAfter)
    val columns = tapsOf(columnsBefore, columnsAfter)
    val across = FloatArray(rowsBefore * columnsAfter * 3)
    for (y in 0 until rowsBefore) for (x in 0 until columnsAfter) for (c in 0 until 3) {
        across[(y * columnsAfter + x) * 3 + c] = blend(columns[x]) { i ->
            (rgb[((top + y) * width + left + i) * 3 + c].toInt() and 0xff).toFloat()
        }
    }
    val found = ByteArray(SIZE * SIZE * 3)
    val above = (SIZE - rowsAfter) / 2
    val beside = (SIZE - columnsAfter) / 2
    for (y in 0 until rowsAfter) for (x in 0 until columnsAfter * 3) {
        val sum = blend(rows[y]) { i -> across[i * columnsAfter * 3 + x] }
        found[((above + y) * SIZE + beside) * 3 + x] = round(sum).coerceIn(0f, 255f).toInt().toByte()
    }
    return found
}
