import java.awt.Dimension;
import javax.swing.JFrame;
import javax.swing.JTextArea;

/** A window of Java's, from a jar. */
public class Ledger {
    public static void main(String[] arguments) {
        JFrame window = new JFrame("Ledger");
        window.add(new JTextArea());
        window.setSize(new Dimension(300, 200));
        window.setDefaultCloseOperation(JFrame.EXIT_ON_CLOSE);
        window.setVisible(true);
    }
}
