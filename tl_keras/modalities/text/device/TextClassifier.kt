// Computes the class probabilities of a text on Android, with LiteRT. Setup:
//   1. Add com.google.ai.edge.litert:litert to the dependencies in build.gradle.
//   2. Copy model.tflite, labels.txt, vocab.txt and characters.txt to assets/.
//   3. Copy Tokens.kt to the folder of this file.
import android.content.Context
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter

const val FIXED_LENGTH = $fixed // ids that the model takes; 0 for any number

class TextClassifier(context: Context) {
    private val labels = context.assets.open("labels.txt").bufferedReader().readLines()
    private val tokens = Tokens(linesOf(context, "vocab.txt"), linesOf(context, "characters.txt"))
    private val interpreter = Interpreter(
        context.assets.open("model.tflite").readBytes().let { bytes ->
            ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).put(bytes)
        }
    )

    /** Whether the model abstained on the last text; false if it has no output `abstain`. */
    var abstains = false
        private set

    /** Returns the probability of each class: the mean over the windows of the text. */
    fun classify(text: String): Map<String, Float> {
        val answers = tokens.encode(text).map { answer(it) }
        abstains = mean(answers.map { it.second }).any { it >= 0.5f }
        return labels.zip(mean(answers.map { it.first })).toMap()
    }

    private fun mean(values: List<List<Float>>): List<Float> =
        values[0].indices.map { i -> values.map { it[i] }.average().toFloat() }

    /** Returns the outputs `probabilities` and `abstain` for one window. */
    private fun answer(ids: IntArray): Pair<List<Float>, List<Float>> {
        val input = ids.copyOf(if (FIXED_LENGTH > 0) FIXED_LENGTH else maxOf(ids.size, 1))
        interpreter.resizeInput(0, intArrayOf(1, input.size))
        interpreter.allocateTensors()
        val outputs = HashMap<Int, Any>()
        for (i in 0 until interpreter.outputTensorCount) {
            val size = interpreter.getOutputTensor(i).numBytes()
            outputs[i] = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())
        }
        interpreter.runForMultipleInputsOutputs(arrayOf(arrayOf(input)), outputs)
        return valuesOf("probabilities", outputs) to valuesOf("abstain", outputs)
    }

    private fun valuesOf(name: String, outputs: Map<Int, Any>): List<Float> {
        val place = outputs.keys.find { interpreter.getOutputTensor(it).name() == name }
            ?: return emptyList()
        val tensor = interpreter.getOutputTensor(place)
        val buffer = (outputs[place] as ByteBuffer).apply { rewind() }
        val how = tensor.quantizationParams()
        return List(tensor.numElements()) {
            if (tensor.dataType() == DataType.UINT8) {
                how.scale * ((buffer.get().toInt() and 0xff) - how.zeroPoint)
            } else {
                buffer.float
            }
        }
    }

    // A token may have characters that other functions take for a line break.
    private fun linesOf(context: Context, name: String): List<String> =
        context.assets.open(name).bufferedReader().readText().removeSuffix("\n").split('\n')
}
