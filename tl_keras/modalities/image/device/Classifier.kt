// Computes the class probabilities of a bitmap on Android, with LiteRT. Setup:
//   1. Add com.google.ai.edge.litert:litert to the dependencies in build.gradle.
//   2. Copy model.tflite and labels.txt to assets/.
//   3. Copy Prepare.kt to the folder of this file.
import android.content.Context
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter

class Classifier(context: Context) {
    private val labels = context.assets.open("labels.txt").bufferedReader().readLines()
    private val interpreter = Interpreter(
        context.assets.open("model.tflite").readBytes().let { bytes ->
            ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).put(bytes)
        }
    )

    /** Whether the model abstained on the last bitmap; false if it has no output `abstain`. */
    var abstains = false
        private set

    /** Returns the probability of each class. The bitmap must be upright: apply EXIF orientation first. */
    fun classify(bitmap: Bitmap): Map<String, Float> {
        val pixels = prepare(rgbOf(bitmap), bitmap.height, bitmap.width)
        val input = ByteBuffer.allocateDirect(pixels.size).order(ByteOrder.nativeOrder())
        input.put(pixels).rewind()
        val outputs = HashMap<Int, Any>()
        for (i in 0 until interpreter.outputTensorCount) {
            val size = interpreter.getOutputTensor(i).numBytes()
            outputs[i] = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())
        }
        interpreter.runForMultipleInputsOutputs(arrayOf(input), outputs)
        abstains = valuesOf("abstain", outputs).any { it > 0.5f }
        return labels.zip(valuesOf("probabilities", outputs)).toMap()
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

    private fun rgbOf(bitmap: Bitmap): ByteArray {
        val colors = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(colors, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        return ByteArray(colors.size * 3) { i -> (colors[i / 3] shr (16 - 8 * (i % 3))).toByte() }
    }
}
